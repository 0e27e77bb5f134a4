import Logging
import Pacing
import Postgres

extension JobRunner {
    /// Settles, job by job, what does not go with a claim: until the runner has stopped and nothing is left.
    func settleLoop() async {
        var retry = Retry(logger: logger, what: "jobs cannot be settled")
        while !Task.isCancelled {
            let now = BootInstant.now()
            let (parts, next, phase) = state.withLock { values in
                (
                    values.ledger.takeParts(
                        at: now, window: configuration.batchWindow, hurries: values.controls.isWaiting, limit: 100),
                    values.ledger.nextDue(
                        window: configuration.batchWindow, hurries: values.controls.isWaiting), values.phase
                )
            }
            guard !parts.isEmpty else {
                if phase == .stopped { return }
                let limit = next.map { now.duration(to: $0) } ?? .seconds(1)
                await state.settleBell.wait(upTo: max(limit, .microseconds(200)))
                continue
            }
            do {
                let blocked = try await settle(parts)
                retry.succeeded()
                guard !blocked.isEmpty else { continue }
                for part in blocked {
                    state.withLock { $0.ledger.failed(part, retryAt: now.advanced(by: .milliseconds(250))) }
                }
            } catch {
                let delay = retry.failed(error)
                state.withLock { values in
                    for part in parts { values.ledger.failed(part, retryAt: now.advanced(by: delay)) }
                }
                if phase == .stopped { return }
            }
            // Its answer may have emptied the ledger that a drain waits for.
            state.ringScout()
        }
    }

    /// Settles parts in one round trip; when one of them is in another transaction's way, each by itself. Returns those
    /// that have to wait.
    private func settle(_ parts: [LeaseLedger.Part]) async throws -> [LeaseLedger.Part] {
        do {
            try await send(parts)
            return []
        } catch let error as PostgresError where isBlocked(error) {
            guard parts.count > 1 else { return parts }
        }
        var blocked: [LeaseLedger.Part] = []
        var failure: (any Error)?
        for part in parts {
            do {
                try await send([part])
            } catch let error as PostgresError where isBlocked(error) {
                blocked.append(part)
            } catch {
                // Those before it are settled and must not be marked otherwise.
                failure = error
                blocked.append(part)
            }
        }
        if let failure { logger.warning("some jobs cannot be settled yet", metadata: ["error": "\(failure)"]) }
        return blocked
    }

    /// Another transaction has a row that we need: 55P03 lock timeout, 40P01 deadlock.
    private func isBlocked(_ error: PostgresError) -> Bool {
        error.code == .server && (error.sqlState == "55P03" || error.sqlState == "40P01")
    }

    private func send(_ parts: [LeaseLedger.Part]) async throws {
        let closing = parts.filter { $0.jobs.isEmpty }
        let settling = parts.filter { !$0.jobs.isEmpty }
        var batch: [(PostgresStatement, [PostgresParameter])] = [
            (Statements.limitLockWaits, [.text("\(configuration.lockTimeout.milliseconds)ms")])
        ]
        for part in settling {
            batch.append(
                (
                    Statements.settleHeld,
                    [
                        .int8(part.lease.leaseID), .int8(part.lease.workerID), .int8Array(part.jobs.map(\.jobID)),
                        .int2Array(part.jobs.map(\.settlement.act)), .float8Array(part.jobs.map(\.settlement.delay)),
                        .jsonbArray(part.jobs.map(\.settlement.note)), .bool(part.last),
                    ]
                ))
        }
        // Old identities' leases are refused by their worker id, so each is asked for by itself.
        let owners = Dictionary(grouping: closing, by: \.lease.workerID).sorted { $0.key < $1.key }
        for (workerID, mine) in owners {
            batch.append((Statements.closeLeases, [.int8Array(mine.map(\.lease.leaseID)), .int8(workerID)]))
        }
        let answers = try await pool.pipeline(batch)
        let now = BootInstant.now()
        var lost = 0
        for (part, rows) in zip(settling, answers.dropFirst()) {
            guard let row = rows.first else { throw QueueError(.inconsistent, "a settle returned no row") }
            let (held, _, open) = try row.decode(Bool.self, Int.self, [Int64].self)
            if !held { lost += part.jobs.count }
            state.withLock { values in
                values.ledger.settled(part, held: held, open: open, at: now)
                if part.limited, values.controls.isWaiting { values.hasFreedRoom = true }
            }
        }
        for ((_, mine), rows) in zip(owners, answers.dropFirst(1 + settling.count)) {
            var open: [Int64: [Int64]] = [:]
            for row in rows {
                let (lease, jobs) = try row.decode(Int64.self, [Int64].self)
                open[lease] = jobs
            }
            for part in mine {
                let left = open[part.lease.leaseID]
                state.withLock { $0.ledger.settled(part, held: left != nil, open: left ?? [], at: now) }
            }
        }
        if lost > 0 {
            logger.warning(
                "jobs were rescued before they were settled; they run again", metadata: ["jobs": "\(lost)"])
        }
    }
}
