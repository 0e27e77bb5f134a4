import Foundation

/// A day of the Gregorian calendar, of no time zone.
struct CivilDay: Sendable, Hashable {
    static let seconds = 86_400

    /// Days since 1970-01-01.
    private(set) var number: Int
    private(set) var year: Int
    private(set) var month: Int
    private(set) var day: Int

    /// The day that holds `wall`: seconds since 1970-01-01 00:00 as a clock on the wall counts them.
    init(wall: Int) {
        number = Int((Double(wall) / Double(Self.seconds)).rounded(.down))
        let date = Date(timeIntervalSince1970: Double(number * Self.seconds))
        let parts = Self.calendar.dateComponents([.year, .month, .day], from: date)
        year = parts.year ?? 1970
        month = parts.month ?? 1
        day = parts.day ?? 1
    }

    /// 0 is Sunday. 1970-01-01 was a Thursday.
    var weekday: Int { ((number + 4) % 7 + 7) % 7 }

    /// Its first second.
    var wall: Int { number * Self.seconds }

    mutating func advance() {
        number += 1
        day += 1
        if day > length { beginNextMonth() }
    }

    mutating func advanceToNextMonth() {
        number += length - day + 1
        beginNextMonth()
    }

    private mutating func beginNextMonth() {
        day = 1
        month += 1
        if month > 12 {
            month = 1
            year += 1
        }
    }

    /// Days of its month.
    private var length: Int {
        switch month {
        case 2: (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    private static let calendar: Calendar = {
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = .gmt
        return calendar
    }()
}
