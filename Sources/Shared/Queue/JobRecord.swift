import Postgres

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Where a job is in its life.
package enum JobState: String, Sendable, Hashable, CaseIterable {
    /// In line. A runner moves it to running.
    case available
    /// Due later, not tried yet. The promote duty moves it to available.
    case scheduled
    /// Tried before, waiting for its next attempt.
    case retryable
    /// Leased by a living worker, or by a dead one that rescue has not come to.
    case running
    /// Its kind or limit key is paused. Resuming moves it to available.
    case parked
    /// Done; kept for days.
    case completed
    /// Not wanted; kept for months.
    case cancelled
    /// Attempts used up. Kept until a person retries or deletes it.
    case discarded
    /// Was discarded, then deleted; kept for months.
    case deleted
}

/// The error of one attempt, as kept.
package struct JobAttemptError: Sendable, Hashable, Codable {
    package let type: String
    package let message: String
    package let attempt: Int?
    /// ISO 8601, by the database's clock.
    package let at: String?
    /// The worker's id.
    package let worker: Int64?
}

/// A job as operators see it.
package struct JobRecord: Sendable {
    package let jobID: Int64
    package let state: JobState
    package let kind: String
    package let environmentID: Int64
    package let queue: String
    /// nil once it is finished.
    package let priority: Int16?
    /// Attempts used up; once it is finished, the number of the last one.
    package let attempt: Int
    /// nil once it is finished.
    package let maximumAttempts: Int?
    package let createdAt: Date
    /// When it is due, was parked, discarded or finished; nil while available or running.
    package let at: Date?
    /// As stored: environment, kind, and the key given.
    package let uniqueKey: String?
    package let limitKeys: [String]
    /// Oldest first.
    package let errors: [JobAttemptError]
    /// A JSON object.
    package let arguments: [UInt8]

    /// Reads state, kind, environment, queue, priority, attempt, most attempts, created, at, key, limit key, errors,
    /// arguments.
    init(_ row: PostgresRow, jobID: Int64) throws {
        let (word, kind, environmentID, queue, priority, attempt, most, created, at, key, limitKey, errors, arguments) =
            try row.decode(
                String.self, String?.self, Int64?.self, String?.self, Int16?.self, Int16.self, Int16?.self, Date.self,
                Date?.self, [UInt8]?.self, String?.self, [UInt8]?.self, [UInt8]?.self)
        guard let state = JobState(rawValue: word) else { throw QueueError(.inconsistent, "job \(jobID) is \(word)") }
        self.jobID = jobID
        self.state = state
        self.kind = kind ?? "?"
        self.environmentID = environmentID ?? 0
        self.queue = queue ?? "?"
        self.priority = priority
        self.attempt = Int(attempt)
        maximumAttempts = most.map(Int.init)
        createdAt = created
        self.at = at
        uniqueKey = key.map { String(decoding: $0, as: UTF8.self) }
        limitKeys = NewJob.limitKeys(stored: limitKey)
        self.errors = try errors.map { try JSONDecoder().decode([JobAttemptError].self, from: Data($0)) } ?? []
        self.arguments = arguments ?? Array("{}".utf8)
    }
}
