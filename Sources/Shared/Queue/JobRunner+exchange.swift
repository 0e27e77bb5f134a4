import Logging
import Pacing
import Postgres

extension JobRunner {
    /// What the exchange loop does next.
    private enum Step {
        case finished
        /// nil: until something rings.
        case wait(Duration?)
        /// Search for lanes if `search`, then settle `whole` and claim up to `free` jobs.
        case exchange(whole: [Int64], free: Int, search: Bool, workerID: Int64)
    }

    /// When the exchange loop looks for lanes.
    private struct Searching {
        var nextPoll: BootInstant
        var lastSearch: BootInstant
        var lastFull: BootInstant
        var idle: Duration
    }

    /// Settles whole leases and claims jobs, until the runner is drained or cancelled. Handlers run in `jobs`.
    func exchangeLoop(_ jobs: inout DiscardingTaskGroup) async {
        let start = BootInstant(nanoseconds: 0)
        var searching = Searching(
            nextPoll: start, lastSearch: start, lastFull: .now(), idle: configuration.pollInterval.lowerBound)
        var retry = Retry(logger: logger, what: "jobs cannot be claimed")
        var wasStopped = false
        while !Task.isCancelled {
            switch nextStep(searching) {
            case .finished: return
            case .wait(let limit):
                if !wasStopped, isPastDrain() {
                    wasStopped = true
                    state.withLock { $0.ledger.giveBackRunning(at: .now()) }
                    state.settleBell.ring()
                    jobs.cancelAll()
                }
                if let limit { await state.exchangeBell.wait(upTo: limit) } else { await state.exchangeBell.wait() }
            case .exchange(let whole, let free, let search, let workerID):
                state.withLock { $0.exchangesBegun += 1 }
                do {
                    let claimed = try await exchange(
                        whole: whole, free: free, search: search, workerID: workerID, &searching)
                    state.withLock {
                        $0.ledger.settledWhole(whole)
                        $0.exchangesEnded += 1
                    }
                    retry.succeeded()
                    if let claimed { await begin(claimed, &jobs) }
                } catch {
                    state.withLock {
                        $0.ledger.failedWhole(whole)
                        $0.exchangesEnded += 1
                    }
                    if Task.isCancelled { return }
                    let delay = retry.failed(error)
                    try? await Task.sleep(for: delay)
                }
            }
        }
    }

    private func isPastDrain() -> Bool {
        state.withLock { $0.drainSince.map { $0.duration(to: .now()) >= configuration.drainTimeout } ?? false }
    }

    private func nextStep(_ searching: Searching) -> Step {
        let now = BootInstant.now()
        return state.withLock { values in
            let draining = values.phase != .running
            if draining, values.ledger.isEmpty { return .finished }
            if draining, let since = values.drainSince,
                since.duration(to: now) >= configuration.drainTimeout + configuration.settleTimeout
            {
                return .finished
            }
            let beats = values.lastBeat.map { $0.duration(to: now) < configuration.beatTolerance } ?? false
            let stuck = values.ledger.unsettled > 4 * configuration.concurrency
            var free =
                draining || !beats || stuck
                ? 0 : min(configuration.claimBatch, configuration.concurrency - values.ledger.occupied)
            let whole = values.ledger.takeWhole(limit: 100)
            // A slot that has just become free waits a little for others.
            var wait: Duration = draining ? .milliseconds(100) : .seconds(1)
            if whole.isEmpty, free > 0, values.ledger.occupied > 0, let freedAt = values.freedAt {
                let waited = freedAt.duration(to: now)
                if waited < configuration.batchWindow {
                    wait = min(wait, configuration.batchWindow - waited)
                    free = 0
                }
            }
            var search = false
            if free > 0 {
                if values.lanes.waiting.isEmpty {
                    search = now >= searching.nextPoll
                    if !search {
                        wait = min(wait, now.duration(to: searching.nextPoll))
                        free = 0
                    }
                } else {
                    search = searching.lastSearch.duration(to: now) >= configuration.searchInterval
                }
            }
            if whole.isEmpty, free == 0 {
                // Every slot is taken: the end of a job rings.
                let isFull = !draining && values.ledger.occupied >= configuration.concurrency
                if isFull { values.freedAt = nil }
                return .wait(isFull ? nil : wait)
            }
            values.freedAt = nil
            return .exchange(whole: whole, free: free, search: search, workerID: values.workerID)
        }
    }

    /// A claimed batch, as it came from the database.
    private struct Claimed: Sendable {
        let lease: LeaseReference
        let keyed: Bool
        let rows: [Row]

        struct Row: Sendable {
            let jobID: Int64
            let kind: Int32
            let queue: Int32
            let priority: Int16
            let attempt: Int16
            let maximumAttempts: Int16
            let crashes: Int16
            let limitKey: String?
            let arguments: [UInt8]
            let waited: Double?
        }
    }

    private func exchange(
        whole: [Int64], free: Int, search: Bool, workerID: Int64, _ searching: inout Searching
    ) async throws -> Claimed? {
        let now = BootInstant.now()
        let full = free > 0 && searching.lastFull.duration(to: now) >= configuration.fullSearchInterval
        if full { searching.lastFull = now }
        if free > 0, search || full { try await self.search(fromZero: full) }
        let (shares, server) = state.withLock { values in
            (values.lanes.round(free: free, fromZero: full), values.lanes.server)
        }
        let claimed = whole.isEmpty && shares.isEmpty ? nil : try await settleAndClaim(whole, shares, workerID, server)
        if free > 0 {
            if search || full { searching.lastSearch = now }
            let got = Dictionary(
                (claimed?.rows ?? []).map { (Lane(queue: $0.queue, priority: $0.priority), 1) }, uniquingKeysWith: +)
            state.withLock { values in
                for share in shares where got[share.lane, default: 0] < share.want {
                    values.lanes.exhausted(share.lane)
                }
            }
            if claimed == nil {
                // Nothing there, or nothing to be had: the polls become rarer.
                searching.nextPoll = now.advanced(by: searching.idle)
                searching.idle = min(searching.idle * 3 / 2, configuration.pollInterval.upperBound)
            } else {
                searching.nextPoll = now
                searching.idle = configuration.pollInterval.lowerBound
            }
        }
        return claimed
    }

    private func search(fromZero: Bool) async throws {
        let (known, marks, server) = state.withLock {
            ($0.lanes.known(fromZero: fromZero), $0.lanes.lows, $0.lanes.server)
        }
        let rows = try await pool.execute(
            Statements.lanes,
            [
                .int4Array(known.queues), .int2Array(known.priorities), .int8Array(known.lows), .float8(server),
            ])
        let lanes = try rows.map { row in
            let (queue, priority, id) = try row.decode(Int32.self, Int16.self, Int64.self)
            return (lane: Lane(queue: queue, priority: priority), first: id)
        }
        let consistent = state.withLock { $0.lanes.found(lanes, marks: marks, at: .now()) }
        if !consistent { logger.warning("jobs were found below the low-water mark; was there a failover?") }
    }

    private func settleAndClaim(
        _ whole: [Int64], _ shares: [LaneTable.Share], _ workerID: Int64, _ server: Double
    ) async throws -> Claimed? {
        let rows = try await pool.execute(
            Statements.settleAndClaim,
            [
                .int8Array(whole), .int8(workerID), .int4Array(shares.map(\.lane.queue)),
                .int2Array(shares.map(\.lane.priority)), .int8Array(shares.map(\.low)),
                .int4Array(shares.map { Int32($0.want) }), .float8(server),
            ])
        guard let first = rows.first else { throw QueueError(.inconsistent, "a claim returned no row") }
        let (settled, lease, keyed) = try first.decode(Int.self, Int64?.self, Bool?.self)
        if settled < whole.count {
            logger.warning(
                "leases were rescued before they were settled; their jobs run again",
                metadata: ["leases": "\(whole.count - settled)"])
        }
        guard let lease, let keyed else { return nil }
        var claimed: [Claimed.Row] = []
        claimed.reserveCapacity(rows.count)
        for row in rows {
            let (_, _, _, jobID, kind, queue, priority, attempt, most, crashes, limitKey, arguments, waited) =
                try row.decode(
                    Int.self, Int64.self, Bool.self, Int64.self, Int32.self, Int32.self, Int16.self, Int16.self,
                    Int16.self, Int16.self, String?.self, [UInt8].self, Double?.self)
            claimed.append(
                Claimed.Row(
                    jobID: jobID, kind: kind, queue: queue, priority: priority, attempt: attempt,
                    maximumAttempts: most, crashes: crashes, limitKey: limitKey, arguments: arguments, waited: waited))
        }
        return Claimed(lease: LeaseReference(leaseID: lease, workerID: workerID), keyed: keyed, rows: claimed)
    }

    /// Starts the handlers of a claimed batch.
    private func begin(_ claimed: Claimed, _ group: inout DiscardingTaskGroup) async {
        let isOurs = state.withLock { values in
            // Declared dead meanwhile: the lease is rescue's.
            guard values.workerID == claimed.lease.workerID else { return false }
            values.ledger.add(claimed.lease, keyed: claimed.keyed, jobs: claimed.rows.map(\.jobID))
            return true
        }
        guard isOurs else { return }
        state.scoutBell.ring()
        do {
            try await queue.names.learn(queues: claimed.rows.lazy.map(\.queue), kinds: claimed.rows.lazy.map(\.kind))
        } catch {
            logger.warning("names of queues and kinds cannot be read", metadata: ["error": "\(error)"])
        }
        let mayStart = state.phase == .running
        for row in claimed.rows {
            let name = queue.names.queueName(row.queue)
            let kind = queue.names.kindName(row.kind)
            let job = LeasedJob(
                jobID: row.jobID, kind: kind ?? "#\(row.kind)", arguments: row.arguments,
                environmentID: name?.environmentID ?? 0, queue: name?.name ?? "#\(row.queue)", priority: row.priority,
                attempt: Int(row.attempt) + 1, maximumAttempts: Int(row.maximumAttempts), crashes: Int(row.crashes),
                limitKey: row.limitKey, lease: claimed.lease, leaseSize: claimed.rows.count)
            guard mayStart, name != nil, kind != nil else {
                settle(job, .givenBack, "give_back")
                continue
            }
            if let waited = row.waited { metrics.waited(kind: job.kind, seconds: waited) }
            if job.attempt > job.maximumAttempts {
                let failure = JobFailure(
                    type: "PoisonJob",
                    message: "not started: \(job.crashes) workers died while they held this job, and its attempts are "
                        + "used up")
                settle(job, Settlement(act: 5, delay: 0, note: failure.json), "discard")
            } else if let handler = handlers[job.kind] {
                group.addTask { await self.perform(job, handler) }
            } else {
                let failure = JobFailure(
                    type: "UnknownKind",
                    message: "no worker here knows jobs of kind \"\(job.kind)\"; tried again after "
                        + "\(configuration.unknownKindDelay)")
                settle(job, .snoozed(configuration.unknownKindDelay, because: failure), "snooze")
            }
        }
    }

    private func settle(_ job: LeasedJob, _ settlement: Settlement, _ outcome: String) {
        metrics.settled(kind: job.kind, outcome: outcome)
        state.finish(job, settlement)
    }
}
