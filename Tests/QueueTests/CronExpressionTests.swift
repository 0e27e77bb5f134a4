import Foundation
import Testing

@testable import Queue

@Suite struct CronExpressionTests {
    private static func time(_ text: String) throws -> Date {
        try Date(text, strategy: Date.ISO8601FormatStyle())
    }

    private static func zone(_ name: String) throws -> TimeZone { try ScheduleRule.timeZone(name) }

    /// The next ticks, as local times with their offset.
    private static func ticks(_ text: String, _ zoneName: String, after start: String, _ count: Int) throws -> [String]
    {
        let zone = try zone(zoneName)
        let rule = try CronExpression(text)
        var date = try time(start)
        var found: [String] = []
        while found.count < count, let next = rule.next(after: date, in: zone) {
            var style = Date.ISO8601FormatStyle(timeZone: zone)
            style = style.year().month().day().time(includingFractionalSeconds: false).timeZone(separator: .colon)
            found.append(next.formatted(style))
            date = next
        }
        return found
    }

    // MARK: Fields

    @Test(arguments: [
        ("0 0 * * *", "0 0 * * *"), ("@daily", "0 0 * * *"), ("@HOURLY", "0 * * * *"),
        ("*/15 * * * *", "0,15,30,45 * * * *"),
        ("0 9-17/4 * * MON-FRI", "0 9,13,17 * * 1,2,3,4,5"), ("0 0 1 jan,Jul *", "0 0 1 1,7 *"),
        ("0 0 * * 7", "0 0 * * 0"), ("0 0 * * FRI-SUN", "0 0 * * 0,5,6"), ("0\t0  * * 5-7", "0 0 * * 5,6,0"),
        ("*/1 * * * *", "* * * * *"), ("@weekly", "0 0 * * SUN"), ("@annually", "@yearly"),
        ("00 01 * * *", "0 1 * * *"),
    ])
    func `a rule may be written in more than one way`(one: String, other: String) throws {
        let (one, other) = (try CronExpression(one), try CronExpression(other))
        #expect(one.minutes.bits == other.minutes.bits && one.hours.bits == other.hours.bits)
        #expect(one.days.bits == other.days.bits && one.months.bits == other.months.bits)
        #expect(one.weekdays.bits == other.weekdays.bits)
    }

    @Test(arguments: [
        ("", "has 0 fields"), ("* * * *", "has 4 fields"), ("0 * * * * *", "has 6 fields"),
        ("60 * * * *", "minute \"60\""),
        ("* 24 * * *", "hour \"24\""), ("* * 0 * *", "day of month \"0\""), ("* * 32 * *", "day of month \"32\""),
        ("* * * 13 *", "month \"13\""), ("* * * * 8", "day of week \"8\""), ("* * * * MUN", "or SUN to SAT"),
        ("* * * MON *", "or JAN to DEC"), ("5/15 * * * *", "write 5-59/…"), ("*/0 * * * *", "at least 1"),
        ("*/90 * * * *", "steps beyond the 60 values"), ("9-5 * * * *", "runs backwards"),
        ("1,,2 * * * *", "empty part"),
        (", * * * *", "empty part"), ("1- * * * *", "minute \"\""), ("-1 * * * *", "minute \"\""),
        ("* * L * *", "\"L\""),
        ("* * ? * *", "\"?\""), ("* * * * 5#2", "\"5#2\""), ("+5 * * * *", "\"+5\""), ("٣ * * * *", "minute"),
        ("@reboot", "none of @annually"), ("@daily x", "none of"), ("*5 * * * *", "\"*5\""),
        ("1/2/3 * * * *", "has a step"),
        ("*/2/2 * * * *", "at least 1"), ("99999999999999999999 * * * *", "minute"),
    ])
    func `what is no rule is refused by the field at fault`(text: String, words: String) {
        let error = #expect(throws: QueueError.self) { try CronExpression(text) }
        #expect(error?.code == .invalid)
        #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
    }

    @Test func `days fit either field when both are restricted, else both`() throws {
        // 2026-01: Thursday 1st, Friday 2nd, Monday 12th, Tuesday 13th.
        let either = try Self.ticks("0 0 13 * FRI", "UTC", after: "2026-01-01T00:00:00Z", 4)
        #expect(either.map { String($0.prefix(10)) } == ["2026-01-02", "2026-01-09", "2026-01-13", "2026-01-16"])
        // A step of a star is no restriction: odd days that are Fridays.
        let both = try Self.ticks("0 0 */2 * FRI", "UTC", after: "2026-01-01T00:00:00Z", 3)
        #expect(both.map { String($0.prefix(10)) } == ["2026-01-09", "2026-01-23", "2026-02-13"])
    }

    // MARK: Calendar

    @Test func `a leap day comes every four years, and no day comes that does not exist`() throws {
        let leap = try Self.ticks("30 6 29 2 *", "Europe/Berlin", after: "2026-03-01T00:00:00Z", 3)
        #expect(leap == ["2028-02-29T06:30:00+01:00", "2032-02-29T06:30:00+01:00", "2036-02-29T06:30:00+01:00"])
        #expect(try Self.ticks("0 0 30 2 *", "UTC", after: "2026-01-01T00:00:00Z", 1).isEmpty)
        #expect(try Self.ticks("0 0 31 4,6,9,11 *", "UTC", after: "2026-01-01T00:00:00Z", 1).isEmpty)
        // 2100 is no leap year: eight years without one, and five are searched.
        #expect(try Self.ticks("0 0 29 2 *", "UTC", after: "2096-03-01T00:00:00Z", 1).isEmpty)
        #expect(try Self.ticks("0 0 29 2 *", "UTC", after: "2100-01-01T00:00:00Z", 1).count == 1)
        let months = try Self.ticks("0 0 31 * *", "UTC", after: "2026-01-31T00:00:00Z", 3)
        #expect(months.map { String($0.prefix(10)) } == ["2026-03-31", "2026-05-31", "2026-07-31"])
    }

    @Test func `a tick is later than what it comes after, by the fraction of a second`() throws {
        let rule = try CronExpression("0 12 * * *")
        let noon = try Self.time("2026-05-05T12:00:00Z")
        let utc = try Self.zone("UTC")
        #expect(rule.next(after: noon.addingTimeInterval(-0.001), in: utc) == noon)
        #expect(rule.next(after: noon, in: utc) == noon.addingTimeInterval(86_400))
        #expect(rule.next(after: noon.addingTimeInterval(0.001), in: utc) == noon.addingTimeInterval(86_400))
        let old = try Self.time("1968-12-31T23:59:59Z")
        #expect(try CronExpression("@yearly").next(after: old, in: utc) == (try Self.time("1969-01-01T00:00:00Z")))
    }

    // MARK: Changes of local time

    /// Berlin: 2026-03-29 02:00 CET is 03:00 CEST, 2026-10-25 03:00 CEST is 02:00 CET.
    /// New York: 2026-03-08 02:00 EST is 03:00 EDT, 2026-11-01 02:00 EDT is 01:00 EST.
    @Test(arguments: [
        // A named hour that is skipped runs once right after the gap.
        (
            "30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z",
            ["2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]
        ),
        (
            "*/10 2 29 3 *", "Europe/Berlin", "2026-03-28T00:00:00Z",
            ["2026-03-29T03:00:00+02:00", "2027-03-29T02:00:00+02:00"]
        ),
        (
            "0 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z",
            ["2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"]
        ),
        (
            "30 2 * * *", "America/New_York", "2026-03-08T05:00:00Z",
            ["2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"]
        ),
        // A named hour that comes twice runs in its first.
        (
            "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z",
            ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]
        ),
        (
            "0,30 1-2 * * *", "America/New_York", "2026-11-01T04:00:00Z",
            [
                "2026-11-01T01:00:00-04:00", "2026-11-01T01:30:00-04:00", "2026-11-01T02:00:00-05:00",
                "2026-11-01T02:30:00-05:00",
            ]
        ),
        // Asked for within the second of the two.
        ("45 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", ["2026-10-26T02:45:00+01:00"]),
        // An hour with a star follows real time.
        (
            "30 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z",
            ["2026-03-29T01:30:00+01:00", "2026-03-29T03:30:00+02:00", "2026-03-29T04:30:00+02:00"]
        ),
        (
            "30 * * * *", "Europe/Berlin", "2026-10-24T23:45:00Z",
            ["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00", "2026-10-25T03:30:00+01:00"]
        ),
        (
            "0 */2 * * *", "America/New_York", "2026-03-08T04:30:00Z",
            ["2026-03-08T00:00:00-05:00", "2026-03-08T04:00:00-04:00"]
        ),
        (
            "@hourly", "America/New_York", "2026-11-01T04:30:00Z",
            ["2026-11-01T01:00:00-04:00", "2026-11-01T01:00:00-05:00", "2026-11-01T02:00:00-05:00"]
        ),
        // Midnight that does not exist; half an hour; a day that does not exist.
        (
            "@daily", "Africa/Cairo", "2026-04-23T12:00:00Z",
            ["2026-04-24T01:00:00+03:00", "2026-04-25T00:00:00+03:00"]
        ),
        (
            "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z",
            ["2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"]
        ),
        (
            "0 12 30 12 *", "Pacific/Apia", "2011-12-29T00:00:00Z",
            ["2011-12-31T00:00:00+14:00", "2012-12-30T12:00:00+14:00"]
        ),
    ])
    func `changes of local time follow the rule that is written down`(
        text: String, zone: String, start: String, ticks: [String]
    ) throws {
        #expect(try Self.ticks(text, zone, after: start, ticks.count) == ticks)
    }

    /// The rule told minute by minute: what local times a clock on the wall shows, skips and repeats.
    private struct WallClock {
        let zone: TimeZone
        let calendar: Calendar
        let rule: CronExpression
        var highest: Int?

        init(_ rule: CronExpression, _ zone: TimeZone) {
            self.rule = rule
            self.zone = zone
            var calendar = Calendar(identifier: .gregorian)
            calendar.timeZone = TimeZone.gmt
            self.calendar = calendar
        }

        func matches(wall: Int) -> Bool {
            let parts = calendar.dateComponents(
                [.minute, .hour, .day, .month, .weekday], from: Date(timeIntervalSince1970: Double(wall)))
            guard rule.minutes.contains(parts.minute ?? -1), rule.hours.contains(parts.hour ?? -1),
                rule.months.contains(parts.month ?? -1)
            else { return false }
            let day = rule.days.contains(parts.day ?? -1)
            let weekday = rule.weekdays.contains((parts.weekday ?? 0) - 1)
            return rule.days.isStar || rule.weekdays.isStar ? day && weekday : day || weekday
        }

        /// Whether it ticks at this minute, which is the one after the last.
        mutating func ticks(at instant: Int) -> Bool {
            let wall = instant + zone.secondsFromGMT(for: Date(timeIntervalSince1970: Double(instant)))
            defer { highest = max(highest ?? wall, wall) }
            if rule.followsRealTime { return matches(wall: wall) }
            guard let highest else { return matches(wall: wall) }
            return stride(from: highest + 60, through: wall, by: 60).contains { matches(wall: $0) }
        }
    }

    @Test(arguments: ["Europe/Berlin", "America/New_York", "UTC", "Australia/Lord_Howe", "Africa/Casablanca"])
    func `next is the first minute that a clock on the wall calls a tick`(zoneName: String) throws {
        var random = SeededGenerator(20_260_101)
        let zone = try Self.zone(zoneName)
        // Around the changes of 2026, and over the end of February of a leap year.
        let starts = try [
            "2026-03-07T00:00:00Z", "2026-03-28T12:00:00Z", "2026-10-24T12:00:00Z", "2026-10-31T12:00:00Z",
            "2028-02-27T00:00:00Z", "2026-04-03T12:00:00Z", "2026-10-03T00:00:00Z", "2026-03-20T00:00:00Z",
        ].map(Self.time)
        func field(_ range: ClosedRange<Int>) -> String {
            let (a, b) = (Int.random(in: range, using: &random), Int.random(in: range, using: &random))
            return switch Int.random(in: 0..<6, using: &random) {
            case 0, 1: "*"
            case 2: "*/\(Int.random(in: 2...5, using: &random))"
            case 3: "\(a)"
            case 4: "\(a),\(b)"
            default: "\(min(a, b))-\(max(a, b))/\(Int.random(in: 1...3, using: &random))"
            }
        }
        for _ in 0..<40 {
            let day = Bool.random(using: &random) ? "*" : field(1...31)
            let weekday = Bool.random(using: &random) ? "*" : field(0...7)
            // Hours of the night, where the changes are.
            let text =
                "\(field(0...59)) \(field(0...4)) \(day) \(Bool.random(using: &random) ? "*" : field(2...11)) \(weekday)"
            let rule = try CronExpression(text)
            let start = try #require(starts.randomElement(using: &random))
            let begin = Int(start.timeIntervalSince1970)
            var clock = WallClock(rule, zone)
            // The clock has seen the hours before.
            for minute in stride(from: begin - 4 * 3600, through: begin, by: 60) { _ = clock.ticks(at: minute) }
            var expected: [Int] = []
            for minute in stride(from: begin + 60, through: begin + 2 * 86_400, by: 60) where clock.ticks(at: minute) {
                expected.append(minute)
            }
            var found: [Int] = []
            var date = start
            while let next = rule.next(after: date, in: zone), Int(next.timeIntervalSince1970) <= begin + 2 * 86_400 {
                #expect(next > date)
                found.append(Int(next.timeIntervalSince1970))
                date = next
            }
            #expect(found == expected, "\(text) in \(zoneName) after \(start.formatted(.iso8601))")
            // From anywhere between two ticks the same one comes next.
            if let first = expected.first, first - begin > 60 {
                let within = Date(timeIntervalSince1970: Double(Int.random(in: begin..<first, using: &random)))
                #expect(rule.next(after: within, in: zone) == Date(timeIntervalSince1970: Double(first)), "\(text)")
            }
        }
    }

    @Test func `only names of regions are time zones`() throws {
        for name in ["Europe/Berlin", "UTC", "GMT", "America/Argentina/Buenos_Aires", "Etc/GMT+3"] {
            #expect(throws: Never.self) { try ScheduleRule.timeZone(name) }
        }
        for name in ["", "PST", "CST", "GMT+3", "Europe/Berlinn", "europe/berlin", "../etc/passwd", "/", "A/B\u{0}"] {
            #expect(throws: QueueError.self, "\(name)") { try ScheduleRule.timeZone(name) }
        }
    }
}
