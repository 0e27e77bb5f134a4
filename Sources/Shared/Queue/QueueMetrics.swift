import Metrics
import Synchronization

/// The queue's metrics: `jobs_settled_total{kind,outcome}`, `job_duration_seconds{kind}`, `job_wait_seconds{kind}` (first
/// runs of jobs that were due when enqueued), `queue_depth{queue,priority}` (counted up to a cap, all environments).
final class QueueMetrics: Sendable {
    private struct Settled: Hashable {
        let kind: String
        let outcome: String
    }
    private struct Instruments {
        var settled: [Settled: Counter] = [:]
        var durations: [String: Recorder] = [:]
        var waits: [String: Recorder] = [:]
    }

    private let instruments = Mutex(Instruments())

    func settled(kind: String, outcome: String) {
        let counter = instruments.withLock {
            let key = Settled(kind: kind, outcome: outcome)
            if let known = $0.settled[key] { return known }
            let new = Counter(label: "jobs_settled_total", dimensions: [("kind", kind), ("outcome", outcome)])
            $0.settled[key] = new
            return new
        }
        counter.increment()
    }

    func ran(kind: String, seconds: Double) {
        recorder("job_duration_seconds", kind, in: \.durations).record(seconds)
    }

    func waited(kind: String, seconds: Double) {
        recorder("job_wait_seconds", kind, in: \.waits).record(max(0, seconds))
    }

    private func recorder(
        _ label: String, _ kind: String, in path: any WritableKeyPath<Instruments, [String: Recorder]> & Sendable
    ) -> Recorder {
        instruments.withLock {
            if let known = $0[keyPath: path][kind] { return known }
            let new = Recorder(label: label, dimensions: [("kind", kind)], aggregate: true)
            $0[keyPath: path][kind] = new
            return new
        }
    }
}
