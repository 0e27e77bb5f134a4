import Foundation

/// `Retry-After` of an answer (RFC 9110 §10.2.3): seconds, or a date in any of the three forms of HTTP (§5.6.7).
package enum RetryAfter {
    /// The wait it asks for, never negative; nil when the value is neither form.
    package static func duration(_ value: String, now: Date) -> Duration? {
        let value = value.trimmingCharacters(in: .whitespaces)
        if !value.isEmpty, value.utf8.allSatisfy({ (48...57).contains($0) }) {
            // More digits than an Int64 holds mean "never"; a year is as good.
            return .seconds(min(Int64(value) ?? .max, 366 * 86_400))
        }
        guard let date = date(value, now: now) else { return nil }
        return .seconds(min(max(0, date.timeIntervalSince(now)), 366 * 86_400))
    }

    /// Reads an HTTP date: IMF-fixdate, or the obsolete forms of RFC 850 and of C's asctime().
    static func date(_ text: String, now: Date) -> Date? {
        let words = text.split { " ,-:".contains($0) }.map(String.init)
        let isAsctime = words.count == 7
        guard isAsctime || (words.count == 8 && words[7] == "GMT") else { return nil }
        let numbers = words.map { Int($0) }
        let monthWord = isAsctime ? words[1] : words[2]
        guard let month = months.firstIndex(of: monthWord).map({ $0 + 1 }),
            let day = numbers[isAsctime ? 2 : 1], let year = numbers[isAsctime ? 6 : 3],
            let hour = numbers[isAsctime ? 3 : 4], let minute = numbers[isAsctime ? 4 : 5],
            let second = numbers[isAsctime ? 5 : 6],
            (1...31).contains(day), (0...23).contains(hour), (0...59).contains(minute), (0...60).contains(second),
            (0...9999).contains(year)
        else { return nil }
        let fullYear = words[isAsctime ? 6 : 3].count == 2 ? century(of: year, now: now) : year
        let days = daysSince1970(year: fullYear, month: month, day: day)
        return Date(timeIntervalSince1970: Double(days * 86_400 + hour * 3600 + minute * 60 + second))
    }

    private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

    /// A two-digit year is in this century unless that is over 50 years ahead (RFC 9110 §5.6.7).
    private static func century(of year: Int, now: Date) -> Int {
        let thisYear = 1970 + Int(now.timeIntervalSince1970 / 31_556_952)
        let candidate = thisYear - thisYear % 100 + year
        return candidate > thisYear + 50 ? candidate - 100 : candidate
    }

    /// Proleptic Gregorian days; years begin in March so that the leap day is the last.
    private static func daysSince1970(year: Int, month: Int, day: Int) -> Int {
        let shifted = month > 2 ? year : year - 1
        let era = (shifted >= 0 ? shifted : shifted - 399) / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }
}
