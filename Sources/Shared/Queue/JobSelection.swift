#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Which discarded jobs to run again or to delete.
package struct JobSelection: Sendable, Hashable {
    package var kind: String
    /// nil: of all environments.
    package var environmentID: Int64?
    /// The type of the last error, such as `TimedOut`; nil: any.
    package var errorType: String?
    /// Discarded then or later.
    package var since: Date?

    package init(kind: String, environmentID: Int64? = nil, errorType: String? = nil, since: Date? = nil) {
        self.kind = kind
        self.environmentID = environmentID
        self.errorType = errorType
        self.since = since
    }
}

/// What a selection holds.
package struct RedrivePreview: Sendable {
    package struct Group: Sendable {
        /// nil: discarded without an error.
        package let errorType: String?
        package let jobs: Int
        package let oldest: Date
        package let newest: Date
        /// The newest job, and the message of its last error.
        package let exampleJobID: Int64
        package let exampleMessage: String?
    }

    /// Most jobs first.
    package let groups: [Group]
    /// False: there were too many to look at them all, and there may be more of each.
    package let isComplete: Bool

    package var jobs: Int { groups.reduce(0) { $0 + $1.jobs } }
}

/// How far a redrive has come.
package struct RedriveProgress: Sendable, Hashable {
    /// Jobs looked at.
    package var looked = 0
    /// Run again, or deleted.
    package var moved = 0
    /// Selected, but left: another unfinished job has their unique key.
    package var kept = 0
    /// False: stopped at the limit, and there may be more.
    package var isDone = false
}

/// What to do with discarded jobs.
package enum Redrive: String, Sendable, Hashable {
    case retry
    case delete
}
