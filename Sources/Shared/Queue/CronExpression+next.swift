import Foundation

extension CronExpression {
    /// How far `next` looks: five years.
    static let horizon = 5 * 366 * CivilDay.seconds

    /// The first time after `date` that the rule names in `zone`; nil when there is none within five years.
    ///
    /// Time is cut where the zone's offset to UTC changes; within a piece local time runs evenly, and the calendar alone
    /// is searched. The search begins two days early, so that a change just before `date` is known.
    package func next(after date: Date, in zone: TimeZone) -> Date? {
        let start = Int(date.timeIntervalSince1970.rounded(.down))
        let limit = start + Self.horizon
        var begin = start - 2 * CivilDay.seconds
        var offset = zone.offset(at: begin)
        var previous: Int?
        while begin <= limit {
            let end = zone.nextChange(after: begin).flatMap { $0 > begin ? $0 : nil } ?? .max
            if end > start {
                if let tick = tick(after: start, from: begin, to: min(end, limit + 1), offset, previous) {
                    return Date(timeIntervalSince1970: Double(tick))
                }
            }
            guard end <= limit else { return nil }
            previous = offset
            begin = end
            offset = zone.offset(at: end)
        }
        return nil
    }

    /// The first time after `start` in a piece of even local time. `previous`: the offset before `begin`, nil when the
    /// piece does not begin with a change.
    private func tick(after start: Int, from begin: Int, to end: Int, _ offset: Int, _ previous: Int?) -> Int? {
        var wall = Self.minute(from: begin + offset)
        if !followsRealTime, let previous {
            // Skipped: walls from the old offset to the new one. Repeated: those were seen with the old offset.
            if begin > start, offset > previous,
                firstWall(from: Self.minute(from: begin + previous), before: begin + offset) != nil
            {
                return begin
            }
            wall = max(wall, Self.minute(from: begin + previous))
        }
        wall = max(wall, Self.minute(from: start + offset + 1))
        return firstWall(from: wall, before: end + offset).map { $0 - offset }
    }

    /// The first whole minute from `wall` on.
    private static func minute(from wall: Int) -> Int { Int((Double(wall) / 60).rounded(.up)) * 60 }

    /// The first minute that the fields match, from `wall`, a whole minute, to before `end`.
    private func firstWall(from wall: Int, before end: Int) -> Int? {
        var day = CivilDay(wall: wall)
        var minute = (wall - day.wall) / 60
        while day.wall < end {
            if !months.contains(day.month) {
                day.advanceToNextMonth()
                minute = 0
                continue
            }
            if matches(day), let found = firstMinute(from: minute) {
                let tick = day.wall + found * 60
                return tick < end ? tick : nil
            }
            day.advance()
            minute = 0
        }
        return nil
    }

    /// The first minute of a day, counted from midnight, that hour and minute match.
    private func firstMinute(from minute: Int) -> Int? {
        guard let hour = hours.first(from: minute / 60) else { return nil }
        if hour == minute / 60 {
            if let found = minutes.first(from: minute % 60) { return hour * 60 + found }
            guard let later = hours.first(from: hour + 1) else { return nil }
            return minutes.first(from: 0).map { later * 60 + $0 }
        }
        return minutes.first(from: 0).map { hour * 60 + $0 }
    }
}

extension TimeZone {
    /// Seconds east of Greenwich.
    fileprivate func offset(at instant: Int) -> Int {
        secondsFromGMT(for: Date(timeIntervalSince1970: Double(instant)))
    }

    /// When its offset changes next, daylight saving or not (ICU tells both). May be a change to the same offset.
    fileprivate func nextChange(after instant: Int) -> Int? {
        nextDaylightSavingTimeTransition(after: Date(timeIntervalSince1970: Double(instant)))
            .map { Int($0.timeIntervalSince1970.rounded()) }
    }
}
