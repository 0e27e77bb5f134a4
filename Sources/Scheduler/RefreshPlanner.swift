import Jobs
import Lifecycle
import Queue

/// Finds connections whose refresh is due and enqueues them, most overdue first, while the lane stays shallow: a job
/// that waits in a deep lane is out of date when its turn comes, and the row is where urgency is kept.
struct RefreshPlanner: Sendable {
    let planner: LifecyclePlanner
    let queue: JobQueue
    let batch: Int
    /// Waiting jobs of the due lanes above which nothing is planned.
    let depth: Int

    /// True when there may be more.
    func plan() async throws -> Bool {
        let waiting = try await queue.depths(cap: depth)
            .filter { $0.priority == Lane.due.rawValue || $0.priority == Lane.closing.rawValue }
            .reduce(0) { $0 + $1.jobs }
        guard waiting < depth else { return false }
        return try await planner.planRefreshes() >= batch
    }
}
