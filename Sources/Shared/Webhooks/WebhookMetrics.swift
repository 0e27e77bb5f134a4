import Metrics
import Pacing

/// `webhook_attempts_total` (count) by `outcome`: delivered, retry, given_up, gone; `webhook_attempt_duration_seconds`
/// from the request to the head of its answer.
struct WebhookMetrics: Sendable {
    private let delivered: Counter
    private let retry: Counter
    private let givenUp: Counter
    private let gone: Counter
    private let duration: Metrics.Timer

    init(_ factory: any MetricsFactory) {
        func counter(_ outcome: String) -> Counter {
            Counter(label: "webhook_attempts_total", dimensions: [("outcome", outcome)], factory: factory)
        }
        delivered = counter("delivered")
        retry = counter("retry")
        givenUp = counter("given_up")
        gone = counter("gone")
        duration = Metrics.Timer(label: "webhook_attempt_duration_seconds", dimensions: [], factory: factory)
    }

    func record(_ verdict: DeliveryVerdict, duration: Duration) {
        switch verdict {
        case .delivered: delivered.increment()
        case .retry: retry.increment()
        case .givenUp: givenUp.increment()
        case .gone: gone.increment()
        }
        self.duration.recordNanoseconds(duration.nanoseconds)
    }
}
