import Postgres

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

extension JobQueue {
    /// Enqueues jobs and says what became of each, in the same order.
    ///
    /// `transaction`: they are there when it commits, and its keys stay locked until then, so it should be short; nil:
    /// all or none are there at return. A queue or kind seen for the first time is made over a pool connection, outside
    /// `transaction`. Two jobs of one call with the same key become one, with the arguments of either.
    ///
    /// Throws `QueueError.invalid` for a job that cannot be, else `PostgresError`.
    @discardableResult
    package func enqueue(
        _ jobs: [NewJob], in transaction: (any PostgresQuerying)? = nil
    ) async throws -> [EnqueuedJob] {
        guard !jobs.isEmpty else { return [] }
        for job in jobs { try job.check() }
        let jobs = try await place(jobs)
        let batches = batches(of: jobs.jobs)
        var results = [EnqueuedJob?](repeating: nil, count: jobs.jobs.count)
        if let transaction {
            for batch in batches { try await send(batch, of: jobs, to: transaction, into: &results) }
        } else if batches.count == 1, let batch = batches.first {
            try await send(batch, of: jobs, to: pool, into: &results)
        } else {
            results = try await pool.transaction { transaction in
                var results = [EnqueuedJob?](repeating: nil, count: jobs.jobs.count)
                for batch in batches { try await send(batch, of: jobs, to: transaction, into: &results) }
                return results
            }
        }
        let enqueued = try results.map {
            guard let result = $0 else { throw QueueError(.inconsistent, "enqueue answered for too few jobs") }
            return result
        }
        if transaction == nil { await wakeRunners(edges(of: jobs, enqueued)) }
        return enqueued
    }

    /// Jobs with the ids of their queues and kinds.
    private struct PlacedJobs: Sendable {
        let jobs: [NewJob]
        var queues: [Int32] = []
        var kinds: [Int32] = []
    }

    /// Neighbours mostly share queue and kind, so names are compared before they are looked up.
    private func place(_ jobs: [NewJob]) async throws -> PlacedJobs {
        var queueNames: Set<QueueName> = []
        var kindNames: Set<String> = []
        var last: NewJob?
        for job in jobs {
            if last?.queue != job.queue || last?.environmentID != job.environmentID {
                queueNames.insert(QueueName(environmentID: job.environmentID, name: job.queue))
            }
            if last?.kind != job.kind { kindNames.insert(job.kind) }
            last = job
        }
        try await names.prepare(queues: queueNames, kinds: kindNames)
        var placed = PlacedJobs(jobs: jobs)
        placed.queues.reserveCapacity(jobs.count)
        placed.kinds.reserveCapacity(jobs.count)
        last = nil
        for job in jobs {
            if let known = placed.queues.last, last?.queue == job.queue, last?.environmentID == job.environmentID {
                placed.queues.append(known)
            } else {
                placed.queues.append(try queueID(job))
            }
            if let known = placed.kinds.last, last?.kind == job.kind {
                placed.kinds.append(known)
            } else {
                placed.kinds.append(try kindID(job))
            }
            last = job
        }
        return placed
    }

    /// The lanes that got new jobs to run now.
    private func edges(of placed: PlacedJobs, _ enqueued: [EnqueuedJob]) -> [WakeUp.Edge] {
        var first: [Lane: Int64] = [:]
        for (place, job) in placed.jobs.enumerated() where job.runAt == nil {
            guard case .new = enqueued[place].outcome, let jobID = enqueued[place].jobID else { continue }
            let lane = Lane(queue: placed.queues[place], priority: job.priority)
            first[lane] = min(first[lane] ?? jobID, jobID)
        }
        return first.map { WakeUp.Edge(lane: $0.key, firstID: $0.value) }
    }

    /// Jobs that one statement enqueues.
    private enum Batch: Sendable {
        /// Positions of jobs without key; whether one has a time.
        case plain([Int], scheduled: Bool)
        /// Positions of jobs with keys that differ in nothing but key and arguments.
        case keyed([Int])
    }

    private struct KeyedGroup: Hashable {
        let queue: QueueName
        let kind: String
        let priority: Int16
        let runAt: Date?
        let maximumAttempts: Int16
        let limitKeys: [String]
    }

    private func batches(of jobs: [NewJob]) -> [Batch] {
        var plain: [Int] = []
        var groups: [KeyedGroup: [Int]] = [:]
        var order: [KeyedGroup] = []
        for (position, job) in jobs.enumerated() {
            guard job.uniqueKey != nil else {
                plain.append(position)
                continue
            }
            let group = KeyedGroup(
                queue: QueueName(environmentID: job.environmentID, name: job.queue), kind: job.kind,
                priority: job.priority, runAt: job.runAt, maximumAttempts: job.maximumAttempts, limitKeys: job.limitKeys
            )
            if groups[group] == nil { order.append(group) }
            groups[group, default: []].append(position)
        }
        var batches: [Batch] = []
        if !plain.isEmpty { batches.append(.plain(plain, scheduled: plain.contains { jobs[$0].runAt != nil })) }
        for group in order { batches.append(.keyed(groups[group] ?? [])) }
        return batches
    }

    private func send(
        _ batch: Batch, of placed: PlacedJobs, to database: any PostgresQuerying, into results: inout [EnqueuedJob?]
    ) async throws {
        let jobs = placed.jobs
        switch batch {
        case .plain(let positions, let scheduled):
            let isAll = positions.count == jobs.count
            let mine = isAll ? jobs : positions.map { jobs[$0] }
            var parameters: [PostgresParameter] = [
                .int4Array(isAll ? placed.queues : positions.map { placed.queues[$0] }),
                .int4Array(isAll ? placed.kinds : positions.map { placed.kinds[$0] }),
                .int2Array(mine.map(\.priority)), .int2Array(mine.map(\.maximumAttempts)),
                .textArray(mine.map(\.storedLimitKeys)),
            ]
            if scheduled { parameters.append(.timestamptzArray(mine.map(\.runAt))) }
            parameters.append(.jsonbArray(mine.map(\.arguments)))
            let rows = try await database.execute(scheduled ? Statements.schedule : Statements.enqueue, parameters)
            for (row, position) in zip(rows, positions) {
                results[position] = EnqueuedJob(jobID: try row.int64(0), outcome: .new)
            }
        case .keyed(let positions):
            guard let place = positions.first else { return }
            let first = jobs[place]
            let rows = try await database.execute(
                Statements.enqueueKeyed,
                [
                    .byteaArray(positions.map { jobs[$0].storedKey ?? [] }), .int4(placed.queues[place]),
                    .int2(first.priority), .int4(placed.kinds[place]),
                    .jsonbArray(positions.map { jobs[$0].arguments }),
                    .optional(first.runAt) { .timestamptz($0) }, .int2(first.maximumAttempts),
                    .optional(first.storedLimitKeys) { .text($0) },
                ])
            var answers: [[UInt8]: EnqueuedJob] = [:]
            for row in rows {
                let (key, jobID, word) = try row.decode([UInt8].self, Int64?.self, String.self)
                guard let outcome = EnqueuedJob.Outcome(rawValue: word) else {
                    throw QueueError(.inconsistent, "enqueue_keyed answered \(word)")
                }
                answers[key] = EnqueuedJob(jobID: jobID, outcome: outcome)
            }
            for position in positions { results[position] = jobs[position].storedKey.flatMap { answers[$0] } }
        }
    }

    private func queueID(_ job: NewJob) throws -> Int32 {
        guard let id = names.queue(QueueName(environmentID: job.environmentID, name: job.queue)) else {
            throw QueueError(.inconsistent, "queue \(job.queue) was made and is not there")
        }
        return id
    }

    private func kindID(_ job: NewJob) throws -> Int32 {
        guard let id = names.kind(job.kind) else {
            throw QueueError(.inconsistent, "kind \(job.kind) was made and is not there")
        }
        return id
    }
}

extension NewJob {
    /// Throws `QueueError.invalid` for what the database would refuse, or worse, take.
    func check() throws {
        func require(_ holds: Bool, _ fault: @autoclosure () -> String) throws {
            if !holds { throw QueueError(.invalid, "job of kind \"\(kind.prefix(80))\": \(fault())") }
        }
        try require(!kind.isEmpty && kind.unicodeScalars.count <= 200, "kind needs 1 to 200 characters")
        try require(!queue.isEmpty && queue.unicodeScalars.count <= 200, "queue needs 1 to 200 characters")
        try require(maximumAttempts >= 1, "maximumAttempts is \(maximumAttempts), needs at least 1")
        // The loose index scan over lanes uses the outermost priorities as its ends.
        try require((-1000...1000).contains(priority), "priority is \(priority), needs -1000 to 1000")
        try require(uniqueKey.map { (1...500).contains($0.utf8.count) } ?? true, "uniqueKey needs 1 to 500 bytes")
        try require(limitKeys.count <= 4, "limitKeys has \(limitKeys.count) names, at most 4 are possible")
        try require(limitKeys.allSatisfy(JobLimit.isValid(key:)), "limitKeys needs \(JobLimit.keyRule)")
    }
}
