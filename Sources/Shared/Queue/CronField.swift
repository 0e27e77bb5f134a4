/// One field of a cron expression: the numbers it stands for.
struct CronField: Sendable, Hashable {
    /// What a field may hold.
    struct Kind: Sendable {
        let name: String
        let range: ClosedRange<Int>
        /// English three-letter names, from `firstName` on.
        var names: [String] = []
        var firstName = 0

        static let minute = Kind(name: "minute", range: 0...59)
        static let hour = Kind(name: "hour", range: 0...23)
        static let day = Kind(name: "day of month", range: 1...31)
        static let month = Kind(
            name: "month", range: 1...12,
            names: ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"], firstName: 1)
        /// 0 and 7 are Sunday.
        static let weekday = Kind(
            name: "day of week", range: 0...7, names: ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"])
    }

    /// A bit for each number.
    private(set) var bits: UInt64 = 0
    /// It begins with `*`, which is what crontab(5) calls unrestricted.
    let isStar: Bool

    /// Reads a list of `*`, `5`, `5-9`, each of `*` and ranges also with `/step`. Throws `CronFault`.
    init(_ text: Substring, _ kind: Kind) throws(CronFault) {
        isStar = text.hasPrefix("*")
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            try add(part, kind)
        }
    }

    func contains(_ number: Int) -> Bool { bits & (1 << UInt64(number)) != 0 }

    /// The first number from `number` on; nil when there is none.
    func first(from number: Int) -> Int? {
        guard number < 64 else { return nil }
        let rest = bits & (UInt64.max << UInt64(number))
        return rest == 0 ? nil : rest.trailingZeroBitCount
    }

    private mutating func add(_ part: Substring, _ kind: Kind) throws(CronFault) {
        let halves = part.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let span = halves.first, !span.isEmpty else { throw CronFault("\(kind.name) has an empty part") }
        let ends = span.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        let range: ClosedRange<Int>
        if span == "*" {
            range = kind.range
        } else if ends.count == 1 {
            guard halves.count == 1 else {
                throw CronFault(
                    "\(kind.name) \"\(part)\" has a step but no range, write \(span)-\(kind.range.upperBound)/…")
            }
            let number = try Self.number(span, kind)
            range = number...number
        } else {
            let low = try Self.number(ends[0], kind)
            var high = try Self.number(ends[1], kind)
            // FRI-SUN: Sunday ends a week as well as it begins one.
            if kind.range.upperBound == 7, high == 0, low > 0, ends[1].uppercased() == "SUN" { high = 7 }
            guard low <= high else { throw CronFault("\(kind.name) \"\(span)\" runs backwards") }
            range = low...high
        }
        var step = 1
        if halves.count == 2 {
            guard let number = Self.digits(halves[1]), number >= 1 else {
                throw CronFault("\(kind.name) \"\(part)\" needs a step of at least 1")
            }
            guard number < kind.range.count || number == 1 else {
                throw CronFault("\(kind.name) \"\(part)\" steps beyond the \(kind.range.count) values of its field")
            }
            step = number
        }
        for number in stride(from: range.lowerBound, through: range.upperBound, by: step) {
            bits |= 1 << UInt64(kind.range.upperBound == 7 && number == 7 ? 0 : number)
        }
    }

    private static func number(_ text: Substring, _ kind: Kind) throws(CronFault) -> Int {
        if let place = kind.names.firstIndex(of: text.uppercased()) { return place + kind.firstName }
        guard let number = digits(text), kind.range.contains(number) else {
            throw CronFault(
                "\(kind.name) \"\(text)\" is not \(kind.range.lowerBound) to \(kind.range.upperBound)"
                    + (kind.names.isEmpty ? "" : " or \(kind.names[0]) to \(kind.names[kind.names.count - 1])"))
        }
        return number
    }

    private static func digits(_ text: Substring) -> Int? {
        guard (1...4).contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            return nil
        }
        return Int(text)
    }
}

/// What is wrong with a cron expression, without the expression.
struct CronFault: Error, Sendable, Hashable {
    let problem: String

    init(_ problem: String) { self.problem = problem }
}
