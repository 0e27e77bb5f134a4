import Credentials
import Foundation
import Pacing

/// When connections are refreshed ahead of use and when only to stay alive, and when their end is announced: the
/// installation's settings. ``AppPlanning`` outranks them for one OAuth app.
package struct PlanningRules: Sendable, Hashable {
    /// `lifecycle.hot_for`: a connection used (or made) within it is refreshed ahead of its token's end. Zero: none is.
    package var hotFor: Duration = .seconds(7 * 86_400)
    /// `lifecycle.keep_alive_at_most`: longest time between two refreshes of a connection that nobody uses, where a third
    /// of its idle limit is longer.
    package var keepAliveAtMost: Duration = .seconds(30 * 86_400)
    /// `lifecycle.warn_before`: how long before its end a connection's `connection.expiring` is told; once for each.
    package var warnBefore: [Duration] = [.seconds(30 * 86_400), .seconds(7 * 86_400), .seconds(86_400)]

    package init() {}
}

/// At most so many starts in so many seconds, wherever in time those seconds begin.
package struct StartLimit: Sendable, Hashable {
    package let count: Int
    package let seconds: Int

    package init(count: Int, seconds: Int) {
        self.count = count
        self.seconds = seconds
    }

    /// Starts at once after a pause. A bucket of `burst` that refills at ``rate`` lets at most `burst + rate · seconds`
    /// through in any `seconds`: half of the count each, so that no window holds more than the count.
    package var burst: Int { max(1, count / 2) }

    /// Starts a second in the long run.
    package var rate: Double { Double(max(1, count - burst)) / Double(max(1, seconds)) }

    /// Reads `10/600`: ten in 600 seconds.
    package init?(parsing text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let count = Int(parts[0]), let seconds = Int(parts[1]),
            (1...1_000_000).contains(count), (1...86_400).contains(seconds)
        else { return nil }
        self.init(count: count, seconds: seconds)
    }
}

/// What an operator set for the connections of one OAuth app; everything nil: nothing.
package struct AppPlanning: Sendable, Hashable {
    package var hotFor: Duration?
    /// Zero: the operator knows that there is none.
    package var idleLimit: Duration?
    package var absoluteLimit: Duration?
    /// Token requests of all connections of this app together.
    package var refreshLimit: StartLimit?
    /// Token requests of one connection.
    package var grantLimit: StartLimit?

    package static let keys: Set = [
        "hot_for_seconds", "idle_limit_seconds", "absolute_limit_seconds", "refresh_limit", "grant_refresh_limit",
    ]

    package init() {}

    /// Reads the parameters of an OAuth app.
    ///
    /// - `hot_for_seconds`, `idle_limit_seconds` (0: has none), `absolute_limit_seconds` (of an app that the provider has
    ///   not verified, for example): whole seconds. `refresh_limit`, `grant_refresh_limit`: `count/seconds`.
    /// - Throws: ``InvalidValue`` that names the parameter.
    package init(_ values: [String: String]) throws(InvalidValue) {
        hotFor = try Self.seconds("hot_for_seconds", values)
        idleLimit = try Self.seconds("idle_limit_seconds", values)
        absoluteLimit = try Self.seconds("absolute_limit_seconds", values)
        if absoluteLimit == .zero { absoluteLimit = nil }
        refreshLimit = try Self.limit("refresh_limit", values)
        grantLimit = try Self.limit("grant_refresh_limit", values)
    }

    private static func seconds(_ key: String, _ values: [String: String]) throws(InvalidValue) -> Duration? {
        guard let text = values[key] else { return nil }
        guard let number = Int(text), (0...3_200_000_000).contains(number) else {
            throw InvalidValue(
                item: key, problem: "is \"\(text.prefix(40))\", not a number of seconds",
                repair: "give whole seconds, for example 604800 for seven days")
        }
        return .seconds(number)
    }

    private static func limit(_ key: String, _ values: [String: String]) throws(InvalidValue) -> StartLimit? {
        guard let text = values[key] else { return nil }
        guard let limit = StartLimit(parsing: text) else {
            throw InvalidValue(
                item: key, problem: "is \"\(text.prefix(40))\", not count/seconds",
                repair: "give, for example, 10/600 for ten token requests in 600 seconds")
        }
        return limit
    }
}
