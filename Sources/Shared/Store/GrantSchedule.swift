import Credentials
import Foundation
import Pacing

/// What the catalog knows of how long a provider's grants and tokens live. Nil: unknown, or without end.
package struct GrantLifetimes: Sendable, Hashable {
    /// Used when an answer names no expiry.
    package var defaultAccessLife: Duration?
    /// A refresh token unused for so long dies; it is refreshed at a third of it.
    package var idleLimit: Duration?
    /// The grant ends so long after its consent, whatever we do.
    package var absoluteLimit: Duration?
    /// How often the integration's probe runs.
    package var validateEvery: Duration?

    package init(
        defaultAccessLife: Duration? = nil, idleLimit: Duration? = nil, absoluteLimit: Duration? = nil,
        validateEvery: Duration? = nil
    ) {
        self.defaultAccessLife = defaultAccessLife
        self.idleLimit = idleLimit
        self.absoluteLimit = absoluteLimit
        self.validateEvery = validateEvery
    }
}

/// When a token set ends and when something is to be done about it.
package struct GrantSchedule: Sendable, Hashable {
    package var accessIssuedAt: Date
    package var accessExpiresAt: Date?
    package var refreshDueAt: Date?
    package var validateDueAt: Date?
    package var endsAt: Date?
    package var grantedScopes: [String]?
    package var missingScopes: [String]

    /// The part of an access token's life after which it is refreshed, spread so that tokens issued in one minute do
    /// not all come due in one minute.
    package static let refreshBand = 0.70..<0.90

    /// Plans a token set that was asked for at `issuedAt`.
    ///
    /// - Due: between 70 and 90 % of the access token's life, the exact point fixed by `key`; without an expiry, at a
    ///   third of the idle limit; never without a refresh token.
    /// - Parameters:
    ///   - issuedAt: the attempt's start, not the arrival of its answer: a slow answer must not lengthen a life.
    ///   - requestedScopes: compared with what was granted; the shortfall is recorded.
    ///   - key: the connection's uid.
    package static func make(
        tokens: TokenSet, issuedAt: Date, lifetimes: GrantLifetimes, requestedScopes: [String], key: UUID
    ) -> GrantSchedule {
        let fraction = Spreading.fraction(of: key.bytes)
        let expiresAt = tokens.expiresAt ?? lifetimes.defaultAccessLife.map { issuedAt.addingTimeInterval($0.seconds) }
        var due: Date?
        if tokens.refreshToken != nil {
            let part = refreshBand.lowerBound + fraction * (refreshBand.upperBound - refreshBand.lowerBound)
            if let expiresAt {
                due = issuedAt.addingTimeInterval(max(0, expiresAt.timeIntervalSince(issuedAt)) * part)
            }
            if let idle = lifetimes.idleLimit {
                let keepAlive = issuedAt.addingTimeInterval(idle.seconds / 3)
                due = due.map { min($0, keepAlive) } ?? keepAlive
            }
        }
        let granted = tokens.scopes
        let held = Set(granted ?? requestedScopes)
        return GrantSchedule(
            accessIssuedAt: issuedAt, accessExpiresAt: expiresAt, refreshDueAt: due,
            validateDueAt: lifetimes.validateEvery.map {
                issuedAt.addingTimeInterval($0.seconds * (0.5 + fraction / 2))
            },
            endsAt: tokens.refreshExpiresAt ?? lifetimes.absoluteLimit.map { issuedAt.addingTimeInterval($0.seconds) },
            grantedScopes: granted, missingScopes: requestedScopes.filter { !held.contains($0) })
    }

    package init(
        accessIssuedAt: Date, accessExpiresAt: Date? = nil, refreshDueAt: Date? = nil, validateDueAt: Date? = nil,
        endsAt: Date? = nil, grantedScopes: [String]? = nil, missingScopes: [String] = []
    ) {
        self.accessIssuedAt = accessIssuedAt
        self.accessExpiresAt = accessExpiresAt
        self.refreshDueAt = refreshDueAt
        self.validateDueAt = validateDueAt
        self.endsAt = endsAt
        self.grantedScopes = grantedScopes
        self.missingScopes = missingScopes
    }
}

extension UUID {
    /// The sixteen bytes in network order.
    package var bytes: [UInt8] {
        withUnsafeBytes(of: uuid) { Array($0) }
    }

    /// 32 lower-case hexadecimal digits.
    package var hex: String { uuidString.replacing("-", with: "").lowercased() }

    /// Reads 32 hexadecimal digits.
    package init?(hex: String) {
        guard hex.utf8.count == 32 else { return nil }
        var dashed = hex
        for offset in [20, 16, 12, 8] { dashed.insert("-", at: dashed.index(dashed.startIndex, offsetBy: offset)) }
        self.init(uuidString: dashed)
    }
}
