import Pacing
import Postgres

extension JobRunner {
    /// Raises low-water marks while jobs are claimed.
    ///
    /// The fence: whoever has an id had a transaction id before it (the default of `jobs_ready.id` sees to that). S0 is the
    /// last id drawn, X0 a transaction id drawn *after* S0 was read. Once every transaction up to X0 is over, every id up
    /// to S0 is visible or gone, so the lowest that can still matter is the least visible id, else S0 + 1. A long writing
    /// transaction anywhere in the cluster holds the marks where they are: speed is lost, no job.
    func scoutLoop() async {
        var retry = Retry(logger: logger, what: "low-water marks cannot be raised")
        while !Task.isCancelled, state.phase == .running {
            await state.scoutBell.wait(upTo: .milliseconds(500))
            let isDue = state.withLock { values in
                defer { values.claimedUnmarked = 0 }
                return values.phase == .running && values.claimedUnmarked > 0
            }
            guard isDue else { continue }
            do {
                try await scout()
                retry.succeeded()
            } catch {
                if Task.isCancelled { return }
                let delay = retry.failed(error)
                try? await Task.sleep(for: delay)
            }
        }
    }

    private func scout() async throws {
        let answers = try await pool.pipeline([(Statements.lastID, []), (Statements.fence, [])])
        guard answers.count == 2, let drawn = answers[0].first, let fence = try answers[1].value(UInt64.self) else {
            throw QueueError(.inconsistent, "the scout's statements returned no row")
        }
        let (last, server) = try drawn.decode(Int64.self, Double.self)
        let epoch = state.withLock { values in
            values.lanes.use(server: server)
            return values.lanes.epoch
        }
        let began = BootInstant.now()
        while !Task.isCancelled, state.phase == .running, began.duration(to: .now()) < .seconds(30) {
            try await Task.sleep(for: configuration.scoutInterval)
            let (lanes, isCurrent) = state.withLock { values in
                (values.lanes.lows.sorted { $0.key < $1.key }, values.lanes.epoch == epoch)
            }
            guard isCurrent else { return }
            let rows = try await pool.execute(
                Statements.low,
                [
                    .xid8(fence), .int8(last), .int4Array(lanes.map(\.key.queue)),
                    .int2Array(lanes.map(\.key.priority)), .int8Array(lanes.map(\.value)),
                    .float8(server),
                ])
            if rows.isEmpty { continue }
            let marks = try rows.map { row in
                let (queue, priority, low) = try row.decode(Int32.self, Int16.self, Int64.self)
                return (lane: Lane(queue: queue, priority: priority), low: low)
            }
            state.withLock { $0.lanes.raise(marks, epoch: epoch) }
            return
        }
    }
}
