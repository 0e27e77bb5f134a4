import Metrics
import Synchronization

/// Sets the gauges of lanes, parked and discarded jobs, and living workers, for the fleet as a whole: the same from
/// whichever scheduler they are read. Lanes are summed over environments, each counted up to a cap.
package final class QueueDepthMeter: Sendable {
    /// A gauge with its labels.
    private struct Series: Hashable {
        let name: String
        let labels: [String]
    }

    private let queue: JobQueue
    private let cap: Int
    /// Those that were not 0, to be set to 0 when they have nothing to tell any more.
    private let shown = Mutex<Set<Series>>([])

    package init(queue: JobQueue, cap: Int = depthCap) {
        self.queue = queue
        self.cap = cap
    }

    /// Measures once; each 10 s or so.
    package func measure() async throws {
        var values: [Series: Double] = [:]
        func add(_ name: String, _ labels: [String], _ value: Double) {
            values[Series(name: name, labels: labels), default: 0] += value
        }
        for lane in try await queue.lanes(cap: cap) {
            let labels = ["queue", lane.queue, "priority", "\(lane.priority)"]
            add("queue_depth", labels, Double(lane.jobs))
            add("queue_running", labels, Double(lane.running))
            add("queue_due_soon", labels, Double(lane.dueSoon))
            let oldest = Series(name: "queue_oldest_seconds", labels: labels)
            values[oldest] = max(values[oldest] ?? 0, lane.oldestAge ?? 0)
            for (event, rate) in lane.perMinute?.named ?? [] {
                add("queue_jobs_per_minute", labels + ["event", event], rate)
            }
        }
        for parked in try await queue.parked(cap: cap) {
            add("jobs_parked", ["reason", parked.reason.rawValue], Double(parked.jobs))
        }
        for discarded in try await queue.discarded(cap: cap) {
            add("jobs_discarded", ["kind", discarded.kind], Double(discarded.jobs))
        }
        for worker in try await queue.workers() where !worker.isDead {
            add("queue_workers", ["role", worker.kinds == nil ? "scheduler" : "worker"], 1)
        }
        let empty = shown.withLock { shown in
            defer { shown = Set(values.keys) }
            return shown.subtracting(values.keys)
        }
        for (series, value) in values { set(series, value) }
        for series in empty { set(series, 0) }
    }

    private func set(_ series: Series, _ value: Double) {
        let dimensions = stride(from: 0, to: series.labels.count, by: 2).map {
            (series.labels[$0], series.labels[$0 + 1])
        }
        Gauge(label: series.name, dimensions: dimensions).record(value)
    }
}
