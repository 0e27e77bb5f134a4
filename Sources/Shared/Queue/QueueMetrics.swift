import Metrics
import Pacing
import Synchronization

/// The queue's metrics: `jobs_settled_total{kind,outcome}`, `job_duration_seconds{kind}`, `job_wait_seconds{kind}` (first
/// runs of jobs that were due when enqueued). Gauges of the fleet as a whole are `QueueDepthMeter`'s.
final class QueueMetrics: Sendable {
    private let kinds = Mutex<[String: KindMetrics]>([:])

    /// Those of one kind; looked up once a batch.
    func kind(_ name: String) -> KindMetrics {
        kinds.withLock {
            if let known = $0[name] { return known }
            let new = KindMetrics(name)
            $0[name] = new
            return new
        }
    }
}

/// The metrics of one kind.
final class KindMetrics: Sendable {
    private let kind: String
    private let durations: Recorder
    private let waits: Recorder
    private let outcomes = Mutex<[(label: String, counter: Counter)]>([])

    init(_ kind: String) {
        self.kind = kind
        durations = Recorder(label: "job_duration_seconds", dimensions: [("kind", kind)], aggregate: true)
        waits = Recorder(label: "job_wait_seconds", dimensions: [("kind", kind)], aggregate: true)
    }

    func settled(_ outcome: String) {
        let counter = outcomes.withLock { known in
            // A handful, the usual one first.
            if let place = known.firstIndex(where: { $0.label == outcome }) { return known[place].counter }
            let new = Counter(label: "jobs_settled_total", dimensions: [("kind", kind), ("outcome", outcome)])
            known.append((outcome, new))
            return new
        }
        counter.increment()
    }

    func ran(_ duration: Duration) { durations.record(duration.seconds) }

    func waited(_ seconds: Double) { waits.record(max(0, seconds)) }
}
