import Credentials
import Foundation
import Pacing

/// When a token set ends and when something is to be done about it.
package struct GrantSchedule: Sendable, Hashable {
    package var accessIssuedAt: Date
    package var accessExpiresAt: Date?
    /// While the connection is used.
    package var refreshDueAt: Date?
    /// Instead of ``refreshDueAt`` where the connection was not used since ``usedSince``. Nil: due as if it were used.
    package var keepAliveAt: Date?
    package var usedSince: Date?
    package var validateDueAt: Date?
    package var endsAt: Date?
    /// The first warning ahead of ``endsAt``.
    package var warnDueAt: Date?
    /// When the refresh token dies of disuse.
    package var idleEndsAt: Date?
    package var grantedScopes: [String]?
    package var missingScopes: [String]

    /// The part of an access token's life after which it is refreshed, spread so that tokens issued in one minute do
    /// not all come due in one minute.
    package static let refreshBand = 0.70..<0.90

    /// The part of a third of the idle limit after which an unused grant is refreshed, spread alike.
    package static let keepAliveBand = 0.75..<1.0

    /// Plans a token set that was asked for at `issuedAt`.
    ///
    /// - Due while used: between 70 and 90 % of the access token's life, the exact point fixed by `key`; without an expiry,
    ///   between a quarter and a third of the idle limit; never without a refresh token.
    /// - Due while not used: between a quarter and a third of the idle limit (of the refresh token's own end, where the
    ///   answer names a nearer one), at most ``PlanningRules/keepAliveAtMost``. Where no limit is known there is no such
    ///   time: the connection goes on being refreshed ahead of each end. That is the rhythm that every provider must bear,
    ///   and a wrong guess would cost a grant where a refresh costs a call.
    /// - Parameters:
    ///   - issuedAt: the attempt's start, not the arrival of its answer: a slow answer must not lengthen a life.
    ///   - requestedScopes: compared with what was granted; the shortfall is recorded.
    ///   - key: the connection's uid.
    package static func make(
        tokens: TokenSet, issuedAt: Date, lifetimes: GrantLifetimes, requestedScopes: [String], key: UUID
    ) -> GrantSchedule {
        let fraction = Spreading.fraction(of: key.bytes)
        let expiresAt = tokens.expiresAt ?? lifetimes.defaultAccessLife.map { issuedAt.addingTimeInterval($0.seconds) }
        let granted = tokens.scopes
        let held = Set(granted ?? requestedScopes)
        var schedule = GrantSchedule(
            accessIssuedAt: issuedAt, accessExpiresAt: expiresAt,
            validateDueAt: lifetimes.validateEvery.map {
                issuedAt.addingTimeInterval($0.seconds * (0.5 + fraction / 2))
            },
            endsAt: tokens.refreshExpiresAt ?? lifetimes.absoluteLimit.map { issuedAt.addingTimeInterval($0.seconds) },
            grantedScopes: granted, missingScopes: requestedScopes.filter { !held.contains($0) })
        if tokens.refreshToken != nil {
            schedule.planRefresh(tokens.refreshExpiresAt, lifetimes, fraction)
        } else if let expiresAt {
            // Nothing can move this end: the probe looks at it when it has come.
            schedule.endsAt = schedule.endsAt.map { min($0, expiresAt) } ?? expiresAt
            schedule.validateDueAt = schedule.validateDueAt.map { min($0, max(expiresAt, issuedAt)) }
        }
        schedule.planWarnings(isMovable: tokens.refreshToken != nil && tokens.refreshExpiresAt != nil, lifetimes.rules)
        return schedule
    }

    private mutating func planRefresh(_ tokenEndsAt: Date?, _ lifetimes: GrantLifetimes, _ fraction: Double) {
        func within(_ band: Range<Double>, of seconds: Double) -> Date {
            accessIssuedAt.addingTimeInterval(
                max(0, seconds) * (band.lowerBound + fraction * (band.upperBound - band.lowerBound)))
        }
        idleEndsAt = lifetimes.idleLimit.flatMap {
            $0 == .zero ? nil : accessIssuedAt.addingTimeInterval($0.seconds)
        }
        let deadline = [idleEndsAt, tokenEndsAt].compactMap { $0?.timeIntervalSince(accessIssuedAt) }.min()
        var longest: Double?
        if let deadline {
            longest = min(deadline / 3, lifetimes.rules.keepAliveAtMost.seconds)
        } else if lifetimes.idleLimit == .zero {
            longest = lifetimes.rules.keepAliveAtMost.seconds
        }
        let keepAlive = longest.map { within(Self.keepAliveBand, of: $0) }
        guard let accessExpiresAt else {
            refreshDueAt = keepAlive
            return
        }
        let ahead = within(Self.refreshBand, of: accessExpiresAt.timeIntervalSince(accessIssuedAt))
        guard let keepAlive, keepAlive > ahead else {
            refreshDueAt = keepAlive.map { min($0, ahead) } ?? ahead
            return
        }
        refreshDueAt = ahead
        keepAliveAt = keepAlive
        usedSince = accessIssuedAt.addingTimeInterval(-lifetimes.rules.hotFor.seconds)
    }

    /// A warning as long before the end as the grant lives says nothing. An end that refreshing may move is refreshed at a
    /// third of its life, so only one that has come within half of it stands still.
    private mutating func planWarnings(isMovable: Bool, _ rules: PlanningRules) {
        guard let endsAt else { return }
        let life = endsAt.timeIntervalSince(accessIssuedAt)
        let longest = rules.warnBefore.map(\.seconds).filter { $0 > 0 && $0 < (isMovable ? life / 2 : life) }.max()
        warnDueAt = longest.map { endsAt.addingTimeInterval(-$0) }
    }

    /// Due at this moment, used or not.
    package mutating func makeDue(at moment: Date) {
        refreshDueAt = moment
        keepAliveAt = nil
        usedSince = nil
    }

    /// A refresh that names no end: the row's stays, which counts from the consent.
    package mutating func keepEnd() {
        endsAt = nil
        warnDueAt = nil
    }

    /// When the grant is lost unless it is refreshed.
    package var lostAt: Date? { [idleEndsAt, endsAt].compactMap { $0 }.min() }

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
