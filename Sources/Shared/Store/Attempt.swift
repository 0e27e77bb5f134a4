import Credentials
import Foundation

/// What an attempt is for.
package enum AttemptKind: String, Sendable {
    case refresh, revoke
}

/// Who makes an attempt, and by which mark others know it.
package struct AttemptMark: Sendable, Hashable {
    package let connectionID: Int64
    package let nonce: UUID

    package init(connectionID: Int64, nonce: UUID = UUID()) {
        self.connectionID = connectionID
        self.nonce = nonce
    }
}

/// A marked connection with all that the attempt needs: one round trip.
package struct MarkedAttempt: Sendable {
    package let mark: AttemptMark
    package let uid: UUID
    package let environmentID: Int64
    package let integration: String
    package let provider: String
    package let state: ConnectionState
    package let grantID: UUID
    package let generation: Int64
    /// The earliest unanswered send of this generation's token; nil when none is.
    package let ambiguousSince: Date?
    /// The database's clock at the mark: the attempt's start.
    package let startedAt: Date
    package let deadline: Date
    package let tries: Int
    package let failures: Int
    package let accessExpiresAt: Date?
    package let endsAt: Date?
    package let grantedScopes: [String]?
    package let sealed: [UInt8]
    package let previousSealed: [UInt8]?
    package let previousGeneration: Int64?
    /// When the present token set was asked for: from then the previous token's window runs.
    package let issuedAt: Date
    package let app: AppAtMark?
    /// The server is not the one that is known, or its change is being made good: nothing that rotates is presented.
    package let isHeld: Bool
}

extension MarkedAttempt {
    /// What a refusal of the grant means: its end, where that was known and has come, else an end that nobody foresaw.
    package var refusalReason: ConnectionReason {
        endsAt.map { $0 <= startedAt } == true ? .expired : .refused
    }
}

/// The OAuth app as it stood at the mark.
package struct AppAtMark: Sendable {
    package let id: Int64
    package let uid: String
    package let clientID: String
    package let sealedSecret: [UInt8]?
    package let secretVersion: Int64
    package let other: OtherClientSecret?
    package let workingVersion: Int64?
    /// JSON object: pinned URL parameters and overrides of replay facts.
    package let parameters: [UInt8]
    package let suspendedAt: Date?
    package let probeDueAt: Date?
}

/// An attempt that is open past its deadline.
package struct OpenAttempt: Sendable {
    package let connectionID: Int64
    package let environmentID: Int64
    package let nonce: UUID
    package let kind: String
    package let state: ConnectionState
    package let provider: String
    package let appParameters: [UInt8]
    package let startedAt: Date
    package let accessExpiresAt: Date?
    /// The database's clock when this was read.
    package let now: Date
    package let ambiguousSince: Date?
    package let generation: Int64
    package let grantID: UUID
}

/// A connection whose refresh is due, as the planner claimed it.
package struct DueConnection: Sendable {
    package let id: Int64
    package let environmentID: Int64
    package let generation: Int64
    package let isAmbiguous: Bool
    package let provider: String
    package let oauthAppID: Int64?
}

/// A token set on its way into a connection.
package struct NewTokenSet: Sendable {
    /// Sealed for ``SealContext/connectionTokens(environmentID:uid:generation:)`` of the *next* generation.
    package var sealed: [UInt8]
    package var schedule: GrantSchedule

    package init(sealed: [UInt8], schedule: GrantSchedule) {
        self.sealed = sealed
        self.schedule = schedule
    }
}

/// How an attempt ends that brought no token.
package struct AttemptEnding: Sendable {
    package var state: ConnectionState
    package var reason: ConnectionReason?
    /// When to try again; nil for never (broken).
    package var nextAttemptIn: Duration?
    package var countsFailure: Bool
    package var becomesAmbiguous: Bool

    package init(
        state: ConnectionState, reason: ConnectionReason?, nextAttemptIn: Duration?, countsFailure: Bool = true,
        becomesAmbiguous: Bool = false
    ) {
        self.state = state
        self.reason = reason
        self.nextAttemptIn = nextAttemptIn
        self.countsFailure = countsFailure
        self.becomesAmbiguous = becomesAmbiguous
    }
}
