import Catalog
import Egress
import Foundation
import Pacing

/// When a provider wants to be asked again.
package enum RetryAfter {
    /// Longer waits are cut to a week, so that a wrong clock at the provider strands nobody.
    static let longest: Duration = .seconds(7 * 86_400)

    /// Reads a `Retry-After`: seconds (RFC 9110 §10.2.3), a fraction (Shopify: `2.0`), or an HTTP date. Negative waits
    /// are zero; nil when it is none of them.
    package static func parse(_ value: String, now: Date = Date()) -> Duration? {
        let text = value.trimmingCharacters(in: .whitespaces)
        if let seconds = Double(text), seconds.isFinite { return bounded(seconds) }
        return date(text).map { bounded($0.timeIntervalSince(now)) }
    }

    /// The header; else `retry_after` (Discord) or `retry_after_seconds` (Patreon) in the body; else a reset moment since
    /// 1970 (Okta, X), of 429 and 503.
    static func read(_ response: EgressResponse, _ document: AnswerDocument, now: Date) -> Duration? {
        if let found = response.headers["retry-after"].flatMap({ parse($0, now: now) }) { return found }
        for name in ["retry_after", "retry_after_seconds"] {
            if let seconds = document.fields?[AnswerPath(name)]?.seconds { return bounded(seconds) }
        }
        guard response.status == 429 || response.status == 503 else { return nil }
        for name in ["x-rate-limit-reset", "x-ratelimit-reset"] {
            if let moment = response.headers[name].flatMap({ Double($0) }), moment > 1_000_000_000 {
                return bounded(moment - now.timeIntervalSince1970)
            }
        }
        return nil
    }

    private static func bounded(_ seconds: Double) -> Duration {
        min(longest, .seconds(min(max(seconds, 0), longest.seconds)))
    }

    /// IMF-fixdate, RFC 850 and asctime dates (RFC 9110 §5.6.7).
    private static func date(_ text: String) -> Date? {
        let formatter = DateFormatter()
        formatter.locale = Locale(identifier: "en_US_POSIX")
        formatter.timeZone = TimeZone(secondsFromGMT: 0)
        for format in ["EEE, dd MMM yyyy HH:mm:ss 'GMT'", "EEEE, dd-MMM-yy HH:mm:ss 'GMT'", "EEE MMM d HH:mm:ss yyyy"] {
            formatter.dateFormat = format
            if let date = formatter.date(from: text) { return date }
        }
        return nil
    }
}
