import Foundation

/// When a schedule runs.
package enum ScheduleRule: Sendable, Hashable {
    /// At even distances: from the schedule's start, or else from when it was made, to the second. At least a second, a
    /// whole number of milliseconds, at most five years.
    case every(Duration)
    /// At the times that a cron expression names in a time zone, given by its IANA name, such as `Europe/Berlin`, or UTC.
    case cron(String, timeZone: String = "UTC")

    /// The rule, read. Throws `QueueError.invalid`.
    /// - Parameter anchor: from where distances count.
    func ticks(from anchor: Date) throws(QueueError) -> ScheduleTicks {
        switch self {
        case .every(let interval):
            let (whole, rest) = interval.dividedIntoMilliseconds
            guard rest == 0, whole >= 1, whole <= CronExpression.horizon * 1000 else {
                throw QueueError(
                    .invalid, "every \(interval): needs a whole number of milliseconds, at most five years")
            }
            return .every(microseconds: whole * 1000, anchor: anchor.microseconds)
        case .cron(let text, let name):
            return .cron(try CronExpression(text), try Self.timeZone(name))
        }
    }

    /// By IANA name. Abbreviations, which Foundation knows as well, are refused: CST is three zones.
    static func timeZone(_ name: String) throws(QueueError) -> TimeZone {
        let isName = name == "UTC" || name == "GMT" || name.contains("/")
        guard isName, name.utf8.count <= 64, let zone = TimeZone(identifier: name) else {
            throw QueueError(
                .invalid,
                "time zone \"\(name.prefix(64))\" is not known: use an IANA name, such as Europe/Berlin, or UTC")
        }
        return zone
    }
}

/// The times of a rule.
enum ScheduleTicks: Sendable, Hashable {
    /// From the anchor on; microseconds since 1970, as the database counts.
    case every(microseconds: Int, anchor: Int)
    case cron(CronExpression, TimeZone)

    /// The first tick after `date`; nil when there is none within five years.
    func next(after date: Date) -> Date? {
        switch self {
        case .every(let interval, let anchor):
            let passed = date.microseconds - anchor
            let tick = passed < 0 ? anchor : anchor + (passed / interval + 1) * interval
            return Date(microseconds: tick)
        case .cron(let expression, let zone):
            return expression.next(after: date, in: zone)
        }
    }
}

extension Date {
    /// Since 1970, rounded: what the database keeps.
    var microseconds: Int { Int((timeIntervalSince1970 * 1_000_000).rounded()) }

    init(microseconds: Int) { self.init(timeIntervalSince1970: Double(microseconds) / 1_000_000) }
}

extension Duration {
    /// Whole milliseconds, and the attoseconds beyond.
    var dividedIntoMilliseconds: (whole: Int, rest: Int64) {
        let (seconds, attoseconds) = components
        let milli: Int64 = 1_000_000_000_000_000
        let (whole, overflows) = seconds.multipliedReportingOverflow(by: 1000)
        return (overflows ? .max : Int(whole + attoseconds / milli), attoseconds % milli)
    }
}
