/// Why the queue refused.
package struct QueueError: Error, Sendable, Equatable, CustomStringConvertible {
    package enum Code: Sendable, Hashable {
        /// The job's lease is gone, or the job was settled before: the caller's transaction must not commit.
        case leaseLost
        /// A job, filter or outcome that cannot be; the message says which.
        case invalid
        /// A schedule that allows no overlap has a job that is not finished.
        case overlap
        /// The queue's tables hold something they should not.
        case inconsistent
    }

    package let code: Code
    package let description: String

    package init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }

    /// A lost lease, to be compared with by tests and callers.
    static func leaseLost(_ jobID: Int64) -> QueueError {
        QueueError(
            .leaseLost,
            "job \(jobID) is not this worker's any more: it was rescued or settled elsewhere, and its effect must be undone"
        )
    }
}
