import Foundation

/// What one process saw of a token endpoint since it last told: counts by age, and the facts that decisions rest on.
/// Moments are the starts of attempts, by the database's clock.
package struct HealthReport: Sendable {
    /// Outcomes of one stretch of time.
    package struct Counts: Sendable, Hashable {
        package var served = 0
        /// First refusals; what comes of a re-test is counted in ``HealthReport/retestsRefused``.
        package var refused = 0
        /// Other whole answers.
        package var other = 0
        package var troubles = 0

        package init() {}
    }

    /// A refusal of the OAuth app itself.
    package struct Fault: Sendable, Hashable {
        /// Who got it: a connection; for the app as a whole, a tenant.
        package let voice: String
        package let at: Date
        /// The provider's code, redacted.
        package let reason: String

        package init(voice: String, at: Date, reason: String) {
            self.voice = voice
            self.at = at
            self.reason = reason
        }
    }

    /// A provider's wish to be left alone.
    package struct Limit: Sendable, Hashable {
        package let voice: String
        package let until: Date

        package init(voice: String, until: Date) {
            self.voice = voice
            self.until = until
        }
    }

    /// Counts by how long ago they were made.
    package var counts: [(age: Duration, counts: Counts)] = []
    package var answeredAt: Date?
    package var servedAt: Date?
    package var troubleAt: Date?
    /// Troubles since this process last had an answer.
    package var run = 0
    package var runVoices: Set<String> = []
    package var lastTrouble: String?
    package var faults: [Fault] = []
    package var limits: [Limit] = []
    package var retestsServed = 0
    package var retestsRefused = 0
    /// A connection of this endpoint, to probe with.
    package var connectionID: Int64?

    package init() {}

    var answers: Int { counts.reduce(0) { $0 + $1.counts.served + $1.counts.refused + $1.counts.other } }
}
