import Logging
import Pacing
import Postgres

extension JobRunner {
    /// Starts the handlers of a claimed batch, but for jobs that are paused, unknown, or without room under their limits.
    /// Gives back as many of `reserved` slots as the batch takes.
    func begin(
        _ claimed: ClaimedBatch, releasing reserved: inout Int, _ group: inout DiscardingTaskGroup
    ) async {
        let slots = min(reserved, claimed.rows.count)
        reserved -= slots
        let (controls, isScoutDue) = state.withLock { values -> (RunnerControls?, Bool) in
            values.claiming -= slots
            values.claimedUnmarked += claimed.rows.count
            // Declared dead meanwhile: the lease is rescue's.
            guard values.workerID == claimed.lease.workerID else { return (nil, false) }
            values.ledger.add(claimed.lease, keyed: claimed.keyed, jobs: claimed.rows.map(\.jobID))
            if claimed.isAdmitted { values.ledger.limit(claimed.lease.leaseID) }
            return (values.controls, values.claimedUnmarked >= configuration.scoutThreshold)
        }
        guard let controls else { return }
        if isScoutDue { state.scoutBell.ring() }
        do {
            try await queue.names.learn(queues: claimed.rows.lazy.map(\.queue), kinds: claimed.rows.lazy.map(\.kind))
        } catch {
            logger.warning("names of queues and kinds cannot be read", metadata: ["error": "\(error)"])
        }
        let mayStart = state.phase == .running
        var asking: [LeasedJob] = []
        var starting: [Start] = []
        starting.reserveCapacity(claimed.rows.count)
        var names = NamesOfBatch(queue.names, metrics)
        for row in claimed.rows {
            let (queueName, kind) = names.of(row)
            let job = LeasedJob(row, kind: kind?.name, queue: queueName, lease: claimed.lease, size: claimed.rows.count)
            guard mayStart, queueName != nil, let kind else {
                settle(job, .givenBack, "give_back")
                continue
            }
            if let waited = row.waited { kind.metrics.waited(waited) }
            switch controls.start(kind: job.kind, limitKeys: job.limitKeys) {
            case .paused(let reason, let key): settle(job, .parked(reason: reason, key: key), "park")
            case .ask where !claimed.isAdmitted: asking.append(job)
            case .free, .ask: if let performer = performer(of: job) { starting.append((job, performer)) }
            }
        }
        start(starting, &group)
        guard !asking.isEmpty else { return }
        group.addTask { [asking] in await self.performAdmitted(asking) }
    }

    typealias Start = (job: LeasedJob, performer: Performer)

    /// Starts handlers, several from one task: each runs on until it first waits, which for a short one is its end.
    private func start(_ jobs: [Start], _ group: inout DiscardingTaskGroup) {
        let together = 32
        for first in stride(from: 0, to: jobs.count, by: together) {
            let some = jobs[first..<min(first + together, jobs.count)]
            group.addTask {
                await withDiscardingTaskGroup { group in
                    for (job, performer) in some { group.addImmediateTask { await self.perform(job, performer) } }
                }
            }
        }
    }

    /// Who performs a job that may start; nil when it was settled instead.
    private func performer(of job: LeasedJob) -> Performer? {
        if job.attempt > job.maximumAttempts {
            let failure = JobFailure(
                type: "PoisonJob",
                message: "not started: \(job.crashes) workers died while they held this job, and its attempts are "
                    + "used up")
            settle(job, Settlement(act: 5, delay: 0, note: failure.json), "discard")
        } else if let performer = performers[job.kind] {
            return performer
        } else {
            let failure = JobFailure(
                type: "UnknownKind",
                message: "no worker here knows jobs of kind \"\(job.kind)\"; tried again after "
                    + "\(configuration.unknownKindDelay)")
            settle(job, .snoozed(configuration.unknownKindDelay, because: failure), "snooze")
        }
        return nil
    }

    /// Asks the limits, again and again while the database is away, and runs those jobs that have room; the others are
    /// parked until there is some. Asking twice takes room once.
    private func performAdmitted(_ jobs: [LeasedJob]) async {
        guard let lease = jobs.first?.lease else { return }
        state.withLock { $0.ledger.limit(lease.leaseID) }
        var retry = Retry(logger: logger, what: "limits cannot be asked")
        var short: [Int64: String]?
        while short == nil, !Task.isCancelled, state.phase == .running {
            do {
                short = try await admit(jobs, of: lease)
                retry.succeeded()
            } catch let error as QueueError where error.code == .leaseLost {
                break
            } catch {
                let delay = retry.failed(error)
                try? await Task.sleep(for: delay)
            }
        }
        guard let short else {
            for job in jobs { settle(job, .givenBack, "give_back") }
            return
        }
        await withDiscardingTaskGroup { group in
            for job in jobs {
                if let key = short[job.jobID] {
                    settle(job, .parked(reason: "wait", key: key), "park")
                } else if state.phase != .running {
                    settle(job, .givenBack, "give_back")
                } else if let performer = performer(of: job) {
                    group.addImmediateTask { await self.perform(job, performer) }
                }
            }
        }
    }

    /// Settles a job that was not started.
    private func settle(_ job: LeasedJob, _ settlement: Settlement, _ outcome: String) {
        metrics.kind(job.kind).settled(outcome)
        state.finish(job, settlement)
    }
}

/// Names of a batch's queues and kinds: its jobs mostly share them, so the last ones are kept.
private struct NamesOfBatch {
    private let names: QueueNames
    private let metrics: QueueMetrics
    private var queue: (id: Int32, name: QueueName?)?
    private var kind: (id: Int32, known: (name: String, metrics: KindMetrics)?)?

    init(_ names: QueueNames, _ metrics: QueueMetrics) {
        self.names = names
        self.metrics = metrics
    }

    mutating func of(_ row: ClaimedBatch.Row) -> (queue: QueueName?, kind: (name: String, metrics: KindMetrics)?) {
        if queue?.id != row.queue { queue = (row.queue, names.queueName(row.queue)) }
        if kind?.id != row.kind { kind = (row.kind, names.kindName(row.kind).map { ($0, metrics.kind($0)) }) }
        return (queue?.name, kind?.known)
    }
}

extension LeasedJob {
    init(_ row: ClaimedBatch.Row, kind: String?, queue: QueueName?, lease: LeaseReference, size: Int) {
        self.init(
            jobID: row.jobID, kind: kind ?? "#\(row.kind)", arguments: row.arguments,
            environmentID: queue?.environmentID ?? 0, queue: queue?.name ?? "#\(row.queue)", priority: row.priority,
            attempt: Int(row.attempt) + 1, maximumAttempts: Int(row.maximumAttempts), crashes: Int(row.crashes),
            limitKeys: NewJob.limitKeys(stored: row.limitKey), lease: lease,
            leaseSize: size, queueID: row.queue)
    }
}
