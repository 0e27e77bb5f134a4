#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A job to be enqueued.
package struct NewJob: Sendable, Hashable {
    /// What is to be done; a `JobHandler` of that name does it. 1 to 200 characters.
    package var kind: String
    /// A JSON object. Ids only, never a secret: arguments are kept in the history and shown to operators.
    package var arguments: [UInt8]
    package var environmentID: Int64
    /// One of the environment's queues, made at first use. Queues take turns, so that none waits for another's backlog.
    package var queue: String
    /// Lower goes first: 0 closing window, 1 someone waits, 2 due, 3 bulk.
    package var priority: Int16
    /// When it is to run; nil or past: now, by the database's clock.
    package var runAt: Date?
    /// At most one unfinished job of this kind and environment has the key. A second one is not enqueued: the first is
    /// pulled forward, or runs once more if it is running. The arguments of the first stay.
    package var uniqueKey: String?
    /// How often it is tried before it is discarded; at least 1.
    package var maximumAttempts: Int16
    /// What it is limited or paused by, beside its kind: at most four names, each 1 to 200 characters without control
    /// characters. It starts when all of them have room.
    package var limitKeys: [String]

    package init(
        kind: String, arguments: [UInt8], environmentID: Int64, queue: String = "default", priority: Int16 = 2,
        runAt: Date? = nil, uniqueKey: String? = nil, maximumAttempts: Int16 = 25, limitKeys: [String] = []
    ) {
        self.kind = kind
        self.arguments = arguments
        self.environmentID = environmentID
        self.queue = queue
        self.priority = priority
        self.runAt = runAt
        self.uniqueKey = uniqueKey
        self.maximumAttempts = maximumAttempts
        self.limitKeys = limitKeys
    }

    /// The key as stored: apart for each environment and kind.
    var storedKey: [UInt8]? { uniqueKey.map { Array("\(environmentID)/\(kind)/\($0)".utf8) } }
    static func limitKeys(stored: String?) -> [String] { stored?.split(separator: "\n").map(String.init) ?? [] }
    /// The limit keys as stored: one a line, null for none.
    var storedLimitKeys: String? { limitKeys.isEmpty ? nil : limitKeys.joined(separator: "\n") }
}

/// What became of a `NewJob`.
package struct EnqueuedJob: Sendable, Hashable {
    package enum Outcome: String, Sendable, Hashable {
        /// A job of its own.
        case new
        /// Its key's job was scheduled; it now has the lesser time and priority of the two.
        case forward
        /// Its key's job is in line already; it runs after the caller's commit.
        case waiting
        /// Its key's job is parked and stays so.
        case parked
        /// Its key's job is running and runs once more when it settles.
        case again
        /// Another open transaction has the key: written down, and made a job after this commit.
        case wish
    }

    /// The job that does the work; nil for a wish, which has none yet.
    package let jobID: Int64?
    package let outcome: Outcome
}
