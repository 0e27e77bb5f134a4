import Metrics
import Synchronization

/// Sets the gauge `queue_depth{queue,priority}`: jobs in line, summed over environments, each lane counted up to a cap.
package final class QueueDepthMeter: Sendable {
    private struct Label: Hashable {
        let queue: String
        let priority: Int16
    }

    private let queue: JobQueue
    private let cap: Int
    /// Labels that were not 0, to be set to 0 when their lanes are empty.
    private let shown = Mutex<Set<Label>>([])

    package init(queue: JobQueue, cap: Int = 10_000) {
        self.queue = queue
        self.cap = cap
    }

    /// Measures once; each 10 s or so.
    package func measure() async throws {
        var sums: [Label: Int] = [:]
        for depth in try await queue.depths(cap: cap) {
            sums[Label(queue: depth.queue, priority: depth.priority), default: 0] += depth.jobs
        }
        let empty = shown.withLock { shown in
            defer { shown = Set(sums.keys) }
            return shown.subtracting(sums.keys)
        }
        for (label, jobs) in sums { set(label, jobs) }
        for label in empty { set(label, 0) }
    }

    private func set(_ label: Label, _ jobs: Int) {
        Gauge(label: "queue_depth", dimensions: [("queue", label.queue), ("priority", "\(label.priority)")]).record(
            jobs)
    }
}
