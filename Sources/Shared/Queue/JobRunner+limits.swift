import Pacing
import Postgres

extension JobRunner {
    /// Takes in the version of pauses and limits, and what has changed when it has moved.
    func learnControls(_ rows: PostgresRows) async throws {
        guard let (version, isWaiting) = try rows.first?.decode(Int64.self, Bool.self) else {
            throw QueueError(.inconsistent, "reading the queue's controls returned no row")
        }
        let known = state.withLock { values in
            values.controls.isWaiting = isWaiting
            return values.controls.version
        }
        guard version != known else { return }
        // Below the known version the server is another one, gone back in time: everything is read again.
        let answers = try await pool.pipeline([
            (Statements.pauses, []), (Statements.limitedKeys, [.int8(version < known ? -1 : known)]),
        ])
        guard answers.count == 2 else { throw QueueError(.inconsistent, "pauses and limits were not answered") }
        let pauses = try answers[0].compactMap { row in
            let (reason, name) = try row.decode(String.self, String.self)
            return JobPause(reason: reason, name: name)
        }
        let limited = try answers[1].map { try $0.decode(String.self) }
        // What changed since the version was read is known early; the next search reads it again.
        state.withLock { $0.controls.update(version: version, pauses: pauses, limited: limited) }
    }

    /// Asks for room for jobs of one lease; returns those that have none, each with the key it is short of. Throws
    /// `QueueError.leaseLost` when the lease is rescued.
    func admit(_ jobs: [LeasedJob], of lease: LeaseReference) async throws -> [Int64: String] {
        let rows = try await pool.execute(
            Statements.admit,
            [
                .int8(lease.leaseID), .int8(lease.workerID), .int8Array(jobs.map(\.jobID)),
                .textArray(jobs.map { $0.limitKeys.joined(separator: "\n") }),
            ])
        guard rows.count == jobs.count else { throw QueueError.leaseLost(jobs.first?.jobID ?? 0) }
        var short: [Int64: String] = [:]
        var wait: Double?
        for row in rows {
            let (jobID, key, seconds) = try row.decode(Int64.self, String?.self, Double?.self)
            if let key { short[jobID] = key }
            if let seconds { wait = min(wait ?? seconds, seconds) }
        }
        if !short.isEmpty {
            // They are parked within the batch window; before that there is nothing to come back for.
            let soonest = BootInstant.now().advanced(by: configuration.batchWindow)
            state.withLock { values in
                values.controls.isWaiting = true
                values.searching.comeBack(at: wait.map { max(soonest, .now().advanced(by: .seconds($0))) })
            }
            state.ringScout()
        }
        return short
    }

    /// Claims jobs that wait for limits, as far as these have room now.
    func claimParked(upTo want: Int, _ workerID: Int64) async throws -> ClaimedBatch? {
        let after = state.withLock { values in
            values.searching.parkedAt = nil
            return values.searching.parkedAfter
        }
        let rows = try await pool.execute(
            Statements.claimParked, [.int8(workerID), .int4(Int32(clamping: want)), .optional(after) { .text($0) }])
        guard let (next, wait) = try rows.first?.decode(String?.self, Double?.self) else { return nil }
        var leaseID: Int64?
        var claimed: [ClaimedBatch.Row] = []
        for row in rows.dropFirst() {
            let (_, _, lease, jobID, kind, queue, priority, attempt, most, crashes, limitKey, arguments) =
                try row.decode(
                    String?.self, Double?.self, Int64.self, Int64.self, Int32.self, Int32.self, Int16.self, Int16.self,
                    Int16.self, Int16.self, String?.self, [UInt8].self)
            leaseID = lease
            claimed.append(
                ClaimedBatch.Row(
                    jobID: jobID, kind: kind, queue: queue, priority: priority, attempt: attempt,
                    maximumAttempts: most, crashes: crashes, limitKey: limitKey, arguments: arguments, waited: nil))
        }
        let isMore = claimed.count == want || next != nil
        state.withLock { values in
            values.searching.parkedAfter = claimed.count == want ? after : next
            let seconds = isMore ? 0.002 : wait.map { max(0.001, $0) }
            values.searching.comeBack(at: seconds.map { .now().advanced(by: .seconds($0)) })
        }
        guard let leaseID else { return nil }
        return ClaimedBatch(
            lease: LeaseReference(leaseID: leaseID, workerID: workerID), keyed: true, isAdmitted: true, rows: claimed)
    }
}

extension RunnerState.Searching {
    /// Look at parked jobs at `time`, if not before.
    mutating func comeBack(at time: BootInstant?) {
        guard let time else { return }
        parkedAt = parkedAt.map { min($0, time) } ?? time
    }
}
