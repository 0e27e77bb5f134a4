#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Between `Date` and the server's microseconds since 2000-01-01 UTC. The extreme values stand for the infinities
/// (`timestamp.h`: `DT_NOBEGIN`, `DT_NOEND`).
enum PostgresTime {
    /// From 2000-01-01 to Foundation's reference date, 2001-01-01: a leap year.
    private static let secondsToReference = 366.0 * 86_400

    static func microseconds(_ date: Date) -> Int64 {
        if date >= .distantFuture { return .max }
        if date <= .distantPast { return .min }
        let microseconds = ((date.timeIntervalSinceReferenceDate + secondsToReference) * 1_000_000).rounded()
        return Int64(exactly: microseconds) ?? .max
    }

    static func date(_ microseconds: Int64) -> Date {
        switch microseconds {
        case .max: .distantFuture
        case .min: .distantPast
        default: Date(timeIntervalSinceReferenceDate: Double(microseconds) / 1_000_000 - secondsToReference)
        }
    }
}
