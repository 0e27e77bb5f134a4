import Egress
import Foundation
import Pacing

/// What a receiver's answer, or its absence, means for a delivery. A pure rule.
package enum DeliveryVerdict: Sendable, Hashable {
    /// 2xx: the receiver has it.
    case delivered(status: Int)
    /// 410: the receiver says that it is gone. The endpoint is disabled (Standard Webhooks, "Disabling endpoints").
    case gone
    case retry(after: Duration, status: Int?, error: String)
    /// The time for tries is over.
    case givenUp(status: Int?, error: String)

    /// One outcome of a try.
    package enum Answer: Sendable {
        case status(Int, retryAfter: String?)
        /// Not sent, or no answer: the receiver may have it. It is sent again, under the same `webhook-id`.
        case failure(EgressFailure)
    }

    /// - Parameters:
    ///   - failures: tries that failed so far, this one not counted.
    ///   - until: the end of the tries. The last one is made then, however long the backoff or `Retry-After` is.
    package static func judge(
        _ answer: Answer, failures: Int, now: Date, until: Date, backoff: Backoff,
        using generator: inout some RandomNumberGenerator
    ) -> DeliveryVerdict {
        let status: Int?, error: String
        var asked: Duration?
        switch answer {
        case .status(let code, _) where (200...299).contains(code): return .delivered(status: code)
        case .status(410, _): return .gone
        case .status(let code, let retryAfter):
            status = code
            error =
                (300...399).contains(code)
                ? "answered \(code); redirects are not followed: set the URL it points to" : "answered \(code)"
            asked = retryAfter.flatMap { RetryAfter.duration($0, now: now) }
        case .failure(let failure):
            status = nil
            error = failure.description
        }
        let left = until.timeIntervalSince(now)
        guard left > 0 else { return .givenUp(status: status, error: error) }
        let wait = max(backoff.delay(failures: failures + 1, using: &generator), asked ?? .zero)
        return .retry(after: min(wait, .seconds(left)), status: status, error: error)
    }
}
