import Credentials
import Foundation
import Pacing

/// What a provider's replay class allows after an attempt whose answer is unknown. Decides only; does no I/O.
package struct ReplayRule: Sendable {
    package enum Decision: Sendable, Equatable {
        /// The refresh token may be presented.
        case present
        /// Not before this moment: its owner, or its journal, may still deliver.
        case wait(until: Date)
        /// Never again (harm `app`): the grant is lost when the access token ends.
        case giveUp
    }

    package let replayClass: ReplayClass
    package let harm: ReplayHarm
    package let attemptLength: Duration

    package init(replayClass: ReplayClass, harm: ReplayHarm, attemptLength: Duration) {
        self.replayClass = replayClass
        self.harm = harm
        self.attemptLength = attemptLength
    }

    /// The length of one attempt: at most a third of a window, so that a second and a third fit in.
    package var length: Duration {
        guard case .windowed(let seconds) = replayClass, seconds > 0 else { return attemptLength }
        return min(attemptLength, max(.seconds(3), .seconds(seconds) / 3))
    }

    /// Whether the token of an ambiguous generation may be presented.
    /// - Parameters:
    ///   - ambiguousSince: start of the first attempt of this generation whose answer is unknown.
    ///   - lastStart: start of the latest such attempt: an ambiguous try starts a new wait.
    ///   - accessExpiresAt: end of the access token in use; nil when unknown.
    ///   - now: on the same clock as the others (the database's).
    package func decide(ambiguousSince: Date, lastStart: Date, accessExpiresAt: Date?, now: Date) -> Decision {
        switch replayClass {
        case .replayable, .untilUsed: return .present
        case .windowed(let seconds):
            let closes = ambiguousSince.addingTimeInterval(Double(seconds))
            if now.addingTimeInterval(min(1, Double(seconds) / 10)) < closes { return .present }
        case .strict: break
        }
        let patience = lastStart.addingTimeInterval(2 * attemptLength.seconds)
        let until = max(accessExpiresAt ?? patience, patience)
        if now < until { return .wait(until: until) }
        return harm == .app ? .giveUp : .present
    }

    /// Whether the token before the present one may be presented after a refusal.
    /// - Parameter issuedAt: start of the attempt that spent it: its window runs from then.
    package func allowsPrevious(issuedAt: Date, now: Date) -> Bool {
        switch replayClass {
        case .replayable, .untilUsed: true
        case .windowed(let seconds): harm == .none || now < issuedAt.addingTimeInterval(Double(seconds))
        case .strict: false
        }
    }

    /// Whether a refusal after an unknown answer may be our own loss rather than the user's doing.
    package var canLoseRotation: Bool { replayClass != .replayable }
}
