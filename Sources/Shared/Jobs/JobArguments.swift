import Foundation
import Queue

/// The arguments of one kind of job: ids only, never a secret. They travel as JSON and outlive a deploy, so a field is
/// added as optional and never renamed.
package protocol JobArguments: Codable, Sendable {
    /// The kind's name, for example `connection.refresh`.
    static var kind: String { get }
}

extension JobArguments {
    /// The job that carries these arguments.
    /// - Parameters:
    ///   - priority: urgency as a lane; see ``Lane``.
    ///   - uniqueKey: at most one unfinished job has it; a second enqueue pulls the first forward.
    package func job(
        environmentID: Int64, priority: Lane, runAt: Date? = nil, uniqueKey: String? = nil,
        maximumAttempts: Int16 = 25
    ) throws -> NewJob {
        var job = NewJob(
            kind: Self.kind, arguments: Array(try JSONEncoder().encode(self)), environmentID: environmentID)
        job.priority = priority.rawValue
        job.runAt = runAt
        job.uniqueKey = uniqueKey
        job.maximumAttempts = maximumAttempts
        return job
    }

    /// Reads the arguments of a leased job.
    package init(of job: LeasedJob) throws { self = try JSONDecoder().decode(Self.self, from: Data(job.arguments)) }
}

/// Urgency, most urgent first: each is a lane of the queue.
package enum Lane: Int16, Sendable, CaseIterable {
    /// A replay window is closing, or an answer may have been lost.
    case closing = 0
    /// Someone waits for the outcome.
    case awaited = 1
    case due = 2
    case bulk = 3
}
