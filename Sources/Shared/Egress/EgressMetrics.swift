import Metrics
import Pacing

/// `egress_requests_total` (count) by `outcome`, `egress_duration_seconds` from the call to the outcome, for streams to the
/// head.
struct EgressMetrics: Sendable {
    private let answered: Counter
    private let notSent: Counter
    private let ambiguous: Counter
    private let duration: Metrics.Timer

    init(_ factory: any MetricsFactory) {
        func counter(_ outcome: String) -> Counter {
            Counter(label: "egress_requests_total", dimensions: [("outcome", outcome)], factory: factory)
        }
        answered = counter("answered")
        notSent = counter("not_sent")
        ambiguous = counter("ambiguous")
        duration = Metrics.Timer(label: "egress_duration_seconds", dimensions: [], factory: factory)
    }

    func record(_ outcome: EgressOutcome, since start: BootInstant) {
        switch outcome {
        case .answered: answered.increment()
        case .notSent: notSent.increment()
        case .ambiguous: ambiguous.increment()
        }
        duration.recordNanoseconds(start.duration(to: .now()).nanoseconds)
    }
}
