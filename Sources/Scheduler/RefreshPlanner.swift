import Jobs
import Lifecycle
import Metrics
import Pacing
import Queue
import Synchronization

/// Finds connections whose refresh is due and enqueues them, most urgent first, while the lanes stay shallow: a job that
/// waits in a deep lane is out of date when its turn comes, and the row is where urgency is kept.
///
/// Shallow is two minutes of work at the rate at which the whole fleet has settled refreshes lately, so that one sweep
/// that fails or a scheduler that restarts leaves no worker idle, and what becomes urgent waits two minutes at most.
final class RefreshPlanner: Sendable {
    private struct Drain {
        var readAt: BootInstant?
        /// Jobs a second.
        var rate = 0.0
    }

    private let planner: LifecyclePlanner
    private let queue: JobQueue
    private let batch: Int
    private let drain = Mutex(Drain())

    init(planner: LifecyclePlanner, queue: JobQueue, batch: Int) {
        self.planner = planner
        self.queue = queue
        self.batch = batch
    }

    /// Jobs that may wait at a rate of so many a second: two minutes' worth, at least four batches or 2,000, so that a fleet
    /// that has been idle begins at once; at most 100,000.
    static func depth(rate: Double, batch: Int) -> Int {
        min(max(Int(rate * 120), 4 * batch, 2000), 100_000)
    }

    /// True when there may be more.
    func plan() async throws -> Bool {
        let depth = Self.depth(rate: try await rate(), batch: batch)
        let waiting = try await queue.depths(cap: depth).filter { Self.isOurs($0.priority) }.reduce(0) { $0 + $1.jobs }
        guard waiting < depth else {
            // There is a backlog: look again before the workers have emptied the lane, not at the next sweep.
            try await Task.sleep(for: .milliseconds(100))
            return true
        }
        // A lane that is nearly full takes what fits.
        let size = min(batch, depth - waiting)
        return try await planner.planRefreshes(limit: size) >= size
    }

    private static func isOurs(_ priority: Int16) -> Bool {
        priority == Lane.due.rawValue || priority == Lane.closing.rawValue
    }

    /// Jobs a second that left the lanes in the last minute, read every ten seconds.
    private func rate() async throws -> Double {
        let now = BootInstant.now()
        let known = drain.withLock { drain in
            drain.readAt.map { $0.duration(to: now) < .seconds(10) } == true ? drain.rate : nil
        }
        if let known { return known }
        let perMinute = try await queue.lanes(cap: 1).filter { Self.isOurs($0.priority) }
            .reduce(0.0) { $0 + ($1.perMinute?.completed ?? 0) }
        drain.withLock { $0 = Drain(readAt: now, rate: perMinute / 60) }
        Gauge(label: "refresh_drain_per_second").record(perMinute / 60)
        return perMinute / 60
    }
}
