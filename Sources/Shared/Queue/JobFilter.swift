/// Which jobs to list.
package struct JobFilter: Sendable, Hashable {
    /// nil: every state but completed.
    package var state: JobState?
    package var kind: String?
    package var environmentID: Int64?
    /// 1 to 200.
    package var limit: Int
    /// Where the last page ended.
    package var cursor: String?

    package init(
        state: JobState? = nil, kind: String? = nil, environmentID: Int64? = nil, limit: Int = 50, cursor: String? = nil
    ) {
        self.state = state
        self.kind = kind
        self.environmentID = environmentID
        self.limit = limit
        self.cursor = cursor
    }
}

/// One page of jobs, and where the next begins; nil at the end.
package struct JobPage: Sendable {
    package let jobs: [JobRecord]
    package let cursor: String?
}
