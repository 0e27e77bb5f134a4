/// A rule of times in the five fields of crontab(5): minute, hour, day of month, month, day of week.
///
/// Lists, ranges, steps and the names JAN–DEC and SUN–SAT in either case, also in ranges; 0 and 7 are Sunday. `@hourly`,
/// `@daily`, `@midnight`, `@weekly`, `@monthly`, `@yearly` and `@annually` are the usual short forms. No seconds, no `L`,
/// `W`, `#`, `?`, no `@reboot`.
///
/// *Days.* When day of month and day of week are both restricted, that is, neither begins with `*`, a day matches that
/// fits either; else it must fit both (crontab(5); `DOM_STAR` and `DOW_STAR` of Vixie cron).
///
/// *Changes of local time.* A rule whose hour begins with `*` follows real time: no local time that does not exist, and
/// both of one that comes twice. Any other names hours of the day: what falls into skipped time runs once, right after
/// the gap, and what falls into repeated time runs at the first of the two. cron(8) has the same rule and counts the
/// minute too; here `*/5 2 * * *` names its hour.
package struct CronExpression: Sendable, Hashable, CustomStringConvertible {
    /// As it was written.
    package let description: String
    let minutes: CronField
    let hours: CronField
    let days: CronField
    let months: CronField
    let weekdays: CronField

    /// Throws `QueueError.invalid`, which names the field.
    package init(_ text: String) throws(QueueError) {
        do throws(CronFault) {
            var fields = text.split { $0 == " " || $0 == "\t" }
            if let first = fields.first, first.hasPrefix("@") {
                guard fields.count == 1, let long = Self.shortForms[first.lowercased()] else {
                    throw CronFault("it is none of \(Self.shortForms.keys.sorted().joined(separator: ", "))")
                }
                fields = long.split(separator: " ")
            }
            guard fields.count == 5 else {
                throw CronFault(
                    "it has \(fields.count) field\(fields.count == 1 ? "" : "s"), needs 5: minute, hour, day of month, "
                        + "month, day of week")
            }
            minutes = try CronField(fields[0], .minute)
            hours = try CronField(fields[1], .hour)
            days = try CronField(fields[2], .day)
            months = try CronField(fields[3], .month)
            weekdays = try CronField(fields[4], .weekday)
            description = text
        } catch {
            throw QueueError(.invalid, "cron expression \"\(text.prefix(100))\": \(error.problem)")
        }
    }

    private static let shortForms = [
        "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
        "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
    ]

    /// Its hour begins with `*`.
    var followsRealTime: Bool { hours.isStar }

    func matches(_ day: CivilDay) -> Bool {
        guard months.contains(day.month) else { return false }
        let fitsDay = days.contains(day.day)
        let fitsWeekday = weekdays.contains(day.weekday)
        return days.isStar || weekdays.isStar ? fitsDay && fitsWeekday : fitsDay || fitsWeekday
    }
}
