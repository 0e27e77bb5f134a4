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
        try await names.prepare(
            queues: jobs.lazy.map { QueueName(environmentID: $0.environmentID, name: $0.queue) },
            kinds: jobs.lazy.map(\.kind))
        let batches = try batches(of: jobs)
        var results = [EnqueuedJob?](repeating: nil, count: jobs.count)
        if let transaction {
            for batch in batches { try await send(batch, of: jobs, to: transaction, into: &results) }
        } else if batches.count == 1, let batch = batches.first {
            try await send(batch, of: jobs, to: pool, into: &results)
        } else {
            results = try await pool.transaction { transaction in
                var results = [EnqueuedJob?](repeating: nil, count: jobs.count)
                for batch in batches { try await send(batch, of: jobs, to: transaction, into: &results) }
                return results
            }
        }
        let enqueued = try results.map {
            guard let result = $0 else { throw QueueError(.inconsistent, "enqueue answered for too few jobs") }
            return result
        }
        if transaction == nil { await wakeRunners(try edges(of: jobs, enqueued)) }
        return enqueued
    }

    /// The lanes that got new jobs to run now.
    private func edges(of jobs: [NewJob], _ enqueued: [EnqueuedJob]) throws -> [WakeUp.Edge] {
        var first: [Lane: Int64] = [:]
        for (job, result) in zip(jobs, enqueued) where result.outcome == .new && job.runAt == nil {
            guard let jobID = result.jobID else { continue }
            let lane = Lane(queue: try queueID(job), priority: job.priority)
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

    private func batches(of jobs: [NewJob]) throws -> [Batch] {
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
        _ batch: Batch, of jobs: [NewJob], to database: any PostgresQuerying, into results: inout [EnqueuedJob?]
    ) async throws {
        switch batch {
        case .plain(let positions, let scheduled):
            let mine = positions.map { jobs[$0] }
            var parameters: [PostgresParameter] = [
                .int4Array(try mine.map(queueID)), .int4Array(try mine.map(kindID)),
                .int2Array(mine.map(\.priority)), .int2Array(mine.map(\.maximumAttempts)),
                .textArray(mine.map(\.storedLimitKeys)),
            ]
            if scheduled { parameters.append(.timestamptzArray(mine.map(\.runAt))) }
            parameters.append(.jsonbArray(mine.map(\.arguments)))
            let rows = try await database.execute(scheduled ? Statements.schedule : Statements.enqueue, parameters)
            for (row, position) in zip(rows, positions) {
                results[position] = EnqueuedJob(jobID: try row.decode(Int64.self), outcome: .new)
            }
        case .keyed(let positions):
            guard let first = positions.first.map({ jobs[$0] }) else { return }
            let rows = try await database.execute(
                Statements.enqueueKeyed,
                [
                    .byteaArray(positions.map { jobs[$0].storedKey ?? [] }), .int4(try queueID(first)),
                    .int2(first.priority), .int4(try kindID(first)),
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
