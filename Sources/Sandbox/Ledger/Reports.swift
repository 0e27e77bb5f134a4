/// A grant as the control API tells it. Names such as `g3` and `r17` stand for grants and tokens.
package struct GrantReport: Sendable, Encodable {
    package let id: String
    package let providerClass: ProviderClass
    package let client: String
    package let account: String
    package let scope: String
    package let createdAt: Double
    package let alive: Bool
    /// Why it is dead.
    package let why: String?
    /// Number of the newest token set, from 1.
    package let generation: Int
    /// The newest refresh token.
    package let newest: String?
    /// Refresh tokens that answer now, oldest first.
    package let refreshTokensAlive: [String]
    package let refreshes: Int
    /// Presentations of a spent refresh token, answered or refused.
    package let replays: Int
    /// Refreshes and revocations being worked on whose client still waits.
    package let inFlight: Int
    /// The same, counting those whose client has gone away.
    package let inWork: Int
    /// The most there ever were.
    package let maximumInFlight: Int
    /// The most there ever were, counting those whose client had gone away.
    package let maximumInWork: Int

    enum CodingKeys: String, CodingKey {
        case id, client, account, scope, alive, why, generation, newest, refreshes, replays
        case providerClass = "class"
        case createdAt = "created_at"
        case refreshTokensAlive = "refresh_tokens_alive"
        case inFlight = "in_flight"
        case inWork = "in_work"
        case maximumInFlight = "max_in_flight"
        case maximumInWork = "max_in_work"
    }

    init(_ grant: Grant) {
        id = grant.name
        providerClass = grant.providerClass
        client = grant.client
        account = grant.account
        scope = grant.scope
        createdAt = grant.createdAt
        alive = grant.death == nil
        why = grant.death?.reason
        generation = grant.generation
        newest = grant.refreshTokens.last?.name
        refreshTokensAlive = grant.refreshTokens.filter { $0.death == nil }.map(\.name)
        refreshes = grant.refreshes
        replays = grant.replays
        inFlight = grant.inFlight
        inWork = grant.inWork
        maximumInFlight = grant.maximumInFlight
        maximumInWork = grant.maximumInWork
    }
}

/// A token as the ledger tells it.
package struct TokenReport: Sendable, Encodable {
    package enum Kind: String, Sendable, Encodable {
        case refresh, access
    }

    package let id: String
    package let kind: Kind
    package let grant: String
    package let generation: Int
    /// The refresh token presented for it, or, of an access token, the one it came with.
    package let parent: String?
    package let issuedAt: Double
    package let expiresAt: Double?
    /// When a refresh token was first used, where its class rotates.
    package let spentAt: Double?
    package let uses: Int
    package let alive: Bool
    /// Why it is dead.
    package let why: String?

    enum CodingKeys: String, CodingKey {
        case id, kind, grant, generation, parent, uses, alive, why
        case issuedAt = "issued_at"
        case expiresAt = "expires_at"
        case spentAt = "spent_at"
    }

    init(_ token: RefreshToken, of grant: Grant) {
        id = token.name
        kind = .refresh
        self.grant = grant.name
        generation = token.generation
        parent = token.parent.map { "r\($0)" }
        issuedAt = token.issuedAt
        expiresAt = nil
        spentAt = token.spentAt
        uses = token.uses
        alive = token.death == nil
        why = token.death?.reason
    }

    init(_ token: AccessToken, of grant: Grant, now: Double) {
        id = token.name
        kind = .access
        self.grant = grant.name
        generation = token.generation
        parent = "r\(token.refresh)"
        issuedAt = token.issuedAt
        expiresAt = token.expiresAt
        spentAt = nil
        uses = token.isUsed ? 1 : 0
        alive = token.death == nil && now < token.expiresAt
        why = token.death?.reason ?? (now < token.expiresAt ? nil : "it has expired")
    }
}

/// What a token value is.
package struct LookupReport: Sendable, Encodable {
    package enum Kind: String, Sendable, Encodable {
        case refresh, access, key, unknown
    }

    package let kind: Kind
    package var id: String?
    package var grant: String?
    package var account: String?
    package var generation: Int?
    /// Whether the provider would take it now.
    package let alive: Bool
    /// Whether it is the newest of its grant.
    package var newest: Bool?
    package var grantAlive: Bool?
    /// Why it is dead.
    package var why: String?

    enum CodingKeys: String, CodingKey {
        case kind, id, grant, account, generation, alive, newest, why
        case grantAlive = "grant_alive"
    }
}

/// Everything that was written down.
package struct LedgerReport: Sendable, Encodable {
    package struct Tally: Sendable, Encodable {
        package let providerClass: ProviderClass
        package let endpoint: SandboxEndpoint
        package let outcome: Outcome
        package let delivery: Delivery
        package let count: Int

        enum CodingKeys: String, CodingKey {
            case endpoint, outcome, delivery, count
            case providerClass = "class"
        }
    }

    /// By the provider's clock.
    package let time: Double
    package let requests: [RequestLine]
    package let calls: [CallLine]
    package let tokens: [TokenReport]
    package let tallies: [Tally]
    /// Lines that were dropped to keep the ledger within its capacity.
    package let forgotten: Int
}

/// What the whole provider came to.
package struct CountsReport: Sendable, Encodable {
    package let grants: Int
    package let grantsAlive: Int
    package let refreshes: Int
    package let replays: Int
    /// The most requests of one grant that were ever in flight at once; see ``GrantReport``.
    package let maximumInFlight: Int
    package let maximumInWork: Int
    package let tallies: [LedgerReport.Tally]

    enum CodingKeys: String, CodingKey {
        case grants, refreshes, replays, tallies
        case grantsAlive = "grants_alive"
        case maximumInFlight = "max_in_flight"
        case maximumInWork = "max_in_work"
    }
}
