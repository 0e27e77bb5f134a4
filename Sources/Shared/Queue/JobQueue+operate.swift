import Postgres

/// What became of a request to cancel.
package enum CancelResult: String, Sendable, Hashable {
    /// It was waiting and is gone.
    case cancelled
    /// It is running: its handler is asked to stop, and it is cancelled where it next waits.
    case asked
    /// Finished, or never there.
    case unknown
}

/// How many jobs one lane holds.
package struct QueueDepth: Sendable, Hashable {
    package let environmentID: Int64
    package let queue: String
    package let priority: Int16
    /// Counted up to the cap.
    package let jobs: Int
    package let isCapped: Bool
    /// Seconds since the job at its head was created.
    package let oldestAge: Double
}

extension JobQueue {
    /// The job, in whatever state; nil when it never was or its history is dropped.
    package func find(_ jobID: Int64) async throws -> JobRecord? {
        try await pool.execute(Statements.find, [.int8(jobID)]).first.map { try JobRecord($0, jobID: jobID) }
    }

    /// Cancels a waiting job, or asks a running one to stop.
    package func cancel(_ jobID: Int64) async throws -> CancelResult {
        let word = try await pool.execute(Statements.cancel, [.int8(jobID)]).value(String.self)
        guard let result = word.flatMap(CancelResult.init) else {
            throw QueueError(.inconsistent, "cancel answered \(word ?? "nothing")")
        }
        return result
    }

    /// Runs discarded jobs again, attempts from 0; returns how many. A job whose unique key is taken by now stays
    /// discarded, and jobs in other states are left alone.
    package func retry(_ jobIDs: [Int64]) async throws -> Int {
        try await retryDiscarded(kind: .null, jobs: .int8Array(jobIDs), limit: jobIDs.count)
    }

    /// As `retry(_:)` for up to `limit` jobs of a kind.
    package func retry(kind: String, limit: Int = 1000) async throws -> Int {
        guard let id = try await names.find(kind: kind) else { return 0 }
        return try await retryDiscarded(kind: .int4(id), jobs: .null, limit: limit)
    }

    private func retryDiscarded(kind: PostgresParameter, jobs: PostgresParameter, limit: Int) async throws -> Int {
        let rows = try await pool.execute(Statements.retry, [kind, jobs, .int4(Int32(clamping: limit))])
        return try rows.value(Int.self) ?? 0
    }

    /// Stops or resumes claiming from a queue; what runs goes on. False: there is no such queue, for nothing was ever
    /// enqueued to it. `making` makes it then.
    @discardableResult
    package func setPaused(_ paused: Bool, queue: QueueName, making: Bool = true) async throws -> Bool {
        if making { try await names.prepare(queues: [queue], kinds: []) }
        return try await !pool.execute(
            Statements.pauseQueue, [.int8(queue.environmentID), .text(queue.name), .bool(paused)]
        ).isEmpty
    }

    /// Depth of every lane that is not empty, counted up to `cap`: one short index range each.
    package func depths(cap: Int = 10_000) async throws -> [QueueDepth] {
        try await pool.execute(Statements.depths, [.int4(Int32(clamping: cap))]).map { row in
            let (environmentID, queue, priority, jobs, age) = try row.decode(
                Int64?.self, String?.self, Int16.self, Int.self, Double.self)
            return QueueDepth(
                environmentID: environmentID ?? 0, queue: queue ?? "?", priority: priority, jobs: jobs,
                isCapped: jobs >= cap, oldestAge: max(0, age))
        }
    }
}
