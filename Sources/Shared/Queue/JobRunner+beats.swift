import Logging
import Pacing
import Postgres

extension JobRunner {
    /// Beats until the runner has stopped; takes a new identity when it was declared dead; passes on cancels; puts back
    /// leases whose claim's answer was lost; writes down what was counted.
    func beatLoop() async {
        var retry = Retry(logger: logger, what: "the job runner cannot beat")
        while !Task.isCancelled, state.phase != .stopped {
            let sent = BootInstant.now()
            do {
                try await beat(sent)
                try await cancelJobs()
                try await releaseStrays()
                try await foldCounts()
                retry.succeeded()
                await state.beatBell.wait(upTo: configuration.beatInterval - sent.duration(to: .now()))
            } catch {
                if Task.isCancelled { return }
                let delay = min(retry.failed(error), configuration.beatInterval)
                await state.beatBell.wait(upTo: delay)
            }
        }
    }

    private func beat(_ sent: BootInstant) async throws {
        let workerID = state.withLock { $0.workerID }
        let rows = try await pool.execute(Statements.beat, [.int8(workerID)], timeout: configuration.beatInterval)
        guard rows.isEmpty else {
            state.withLock { $0.lastBeat = sent }
            // A claim that waits for fresh beats goes on.
            state.ringScout()
            return
        }
        logger.error(
            "this worker was declared dead; it goes on with a new identity, and its running jobs run elsewhere as well",
            metadata: ["worker": "\(workerID)"])
        state.withLock { $0.ledger.loseAll() }
        try await register()
    }

    /// Cancels running handlers whose jobs were cancelled. Cooperative: a handler may complete all the same.
    private func cancelJobs() async throws {
        for row in try await pool.execute(Statements.cancels) {
            let jobID = try row.decode(Int64.self)
            state.withLock { values in
                guard let running = values.tasks[jobID], values.cancelled.insert(jobID).inserted else { return }
                running.task.cancel()
            }
        }
    }

    /// Two looks, at least a beat apart: a lease that is ours in the database, not in the ledger at both, and whose claim
    /// was over by the second, is one we never heard of.
    private func releaseStrays() async throws {
        let (workerID, known, begun, before) = state.withLock {
            ($0.workerID, $0.ledger.leaseIDs, $0.exchangesBegun, $0.strays)
        }
        let rows = try await pool.execute(Statements.strayLeases, [.int8(workerID), .int8Array(known)])
        let strays: Set<Int64> = Set(try rows.map { try $0.decode(Int64.self) })
        let sure = state.withLock { values in
            (values.exchangesUnderWay.min() ?? .max) >= before.exchangesBegun
                ? strays.intersection(before.leases).subtracting(values.ledger.leaseIDs) : []
        }
        if !sure.isEmpty {
            let jobs = try await pool.execute(
                Statements.releaseLeases, [.int8Array(sure.sorted()), .int8(workerID)]
            ).value(Int.self)
            logger.warning(
                "jobs whose claim was not answered were put back", metadata: ["jobs": "\(jobs ?? 0)"])
        }
        state.withLock { $0.strays = (strays.subtracting(sure), begun) }
    }
}
