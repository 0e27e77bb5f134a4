import Jobs
import Lifecycle
import Queue

/// Finds connections whose probe is due and enqueues them while their lane is shallow: after a downtime a million probes
/// are due at once, and the row is where they wait.
struct ValidationPlanner: Sendable {
    let planner: LifecyclePlanner
    let queue: JobQueue
    let batch: Int

    /// True when there may be more.
    func plan() async throws -> Bool {
        let depth = max(4 * batch, 2000)
        let waiting = try await queue.depths(cap: depth).filter { $0.priority == Lane.bulk.rawValue }
            .reduce(0) { $0 + $1.jobs }
        guard waiting < depth else { return false }
        return try await planner.planValidations() >= batch
    }
}
