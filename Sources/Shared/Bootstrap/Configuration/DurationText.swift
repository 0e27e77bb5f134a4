import Pacing

/// Durations as people write them: `250ms`, `30s`, `5m`, `1h30m`, `7d`.
package enum DurationText {
    private static let units: [(name: String, nanoseconds: Int64)] = [
        ("ms", 1_000_000), ("d", 86_400_000_000_000), ("h", 3_600_000_000_000), ("m", 60_000_000_000),
        ("s", 1_000_000_000),
    ]

    /// The sum of all parts; nil when a part has no unit, a unit is unknown or the sum passes 292 years.
    package static func parse(_ text: String) -> Duration? {
        var rest = Substring(text.filter { $0 != " " })
        var total: Int64 = 0
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { ("0"..."9").contains($0) }
            guard let count = Int64(digits) else { return nil }
            rest = rest.dropFirst(digits.count)
            guard let unit = units.first(where: { rest.hasPrefix($0.name) }) else { return nil }
            rest = rest.dropFirst(unit.name.count)
            let (product, tooMuch) = count.multipliedReportingOverflow(by: unit.nanoseconds)
            let (sum, overflow) = total.addingReportingOverflow(product)
            if tooMuch || overflow { return nil }
            total = sum
        }
        return .nanoseconds(total)
    }

    /// The largest unit that gives a whole number; `0s` for nothing.
    package static func print(_ duration: Duration) -> String {
        let nanoseconds = duration.nanoseconds
        if nanoseconds == 0 { return "0s" }
        for name in ["d", "h", "m", "s", "ms"] {
            guard let unit = units.first(where: { $0.name == name }) else { continue }
            if nanoseconds % unit.nanoseconds == 0 { return "\(nanoseconds / unit.nanoseconds)\(name)" }
        }
        return "\(duration.milliseconds)ms"
    }
}
