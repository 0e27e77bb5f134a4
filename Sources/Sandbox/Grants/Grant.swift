/// What one account has granted to one client, with every token issued under it.
///
/// All rules about tokens are here and in `Grant+refresh.swift`, pure: time and numbers come in as arguments.
struct Grant: Sendable, Codable {
    let id: Int
    let providerClass: ProviderClass
    let client: String
    let account: String
    /// Granted scopes, separated by spaces.
    let scope: String
    private(set) var createdAt: Double
    var death: Death?
    /// Number of the newest token set.
    var generation = 0
    /// In the order of issue; the oldest dead ones are forgotten, see ``forget(keeping:)``.
    var refreshTokens: [RefreshToken] = []
    var accessTokens: [AccessToken] = []
    /// When token requests of it came, where they are limited.
    var requestTimes: [Double]?
    /// Answered refreshes.
    var refreshes = 0
    /// Presentations of a spent refresh token, answered or refused.
    var replays = 0
    /// Refreshes and revocations now being worked on whose client still waits, and the most there ever were.
    var inFlight = 0
    var maximumInFlight = 0
    /// The same, counting those whose client has gone away.
    var inWork = 0
    var maximumInWork = 0

    var name: String { "g\(id)" }

    private enum CodingKeys: String, CodingKey {
        // Not what is in flight: after a restart nothing is.
        case id, providerClass, client, requestTimes, account, scope, createdAt, death, generation, refreshTokens,
            accessTokens
        case refreshes, replays, maximumInFlight, maximumInWork
    }

    init(
        id: Int, providerClass: ProviderClass, client: String, account: String, scope: String, createdAt: Double
    ) {
        self.id = id
        self.providerClass = providerClass
        self.client = client
        self.account = account
        self.scope = scope
        self.createdAt = createdAt
    }

    /// Issues the next token set. In `replayable` the refresh token stays as it is.
    mutating func issue(
        parent: Int?, scope: String, settings: ClassSettings, now: Double, mint: inout TokenMint
    ) -> TokenPair {
        generation += 1
        let refresh: RefreshToken
        if let parent, providerClass.rotation == .never, let kept = refreshTokens.last(where: { $0.id == parent }) {
            refresh = kept
        } else {
            refresh = RefreshToken(
                id: mint.number(), value: TokenMint.value("sbx_rt_"), generation: generation, parent: parent,
                issuedAt: now)
            refreshTokens.append(refresh)
        }
        if settings.refreshKillsAccess, parent != nil { killAccess("a refresh ended it", now: now) }
        let access = AccessToken(
            id: mint.number(), value: TokenMint.value("sbx_at_"), generation: generation, refresh: refresh.id,
            scope: scope, issuedAt: now, expiresAt: now + settings.accessLifetime)
        accessTokens.append(access)
        return TokenPair(refresh: refresh, access: access)
    }

    /// Seconds until the next token request is allowed; nil when this one is, which then counts.
    mutating func admit(settings: ClassSettings, now: Double) -> Double? {
        guard let limit = settings.grantLimit else { return nil }
        var times = (requestTimes ?? []).filter { $0 > now - settings.grantLimitSeconds }
        defer { requestTimes = times }
        if times.count >= limit, let oldest = times.first { return oldest + settings.grantLimitSeconds - now }
        times.append(now)
        return nil
    }

    /// Ends the grant with all its tokens; the first reason stays.
    mutating func kill(_ reason: String, now: Double) {
        if death == nil { death = Death(at: now, reason: reason) }
        for index in refreshTokens.indices where refreshTokens[index].death == nil {
            refreshTokens[index].death = Death(at: now, reason: reason)
        }
        killAccess(reason, now: now)
    }

    private mutating func killAccess(_ reason: String, now: Double) {
        for index in accessTokens.indices where accessTokens[index].death == nil {
            accessTokens[index].death = Death(at: now, reason: reason)
        }
    }

    /// Marks as dead whatever time alone has ended: closed windows, idle tokens, a grant past its end.
    mutating func age(settings: ClassSettings, now: Double) {
        if death == nil, let life = settings.grantLifetime, now >= createdAt + life {
            kill("the grant has passed its end", now: createdAt + life)
        }
        let replayEnd: Double? =
            switch providerClass.rotation {
            case .windowed: settings.windowSeconds
            case .untilUsed: settings.capSeconds
            case .never, .once: nil
            }
        for index in refreshTokens.indices where refreshTokens[index].death == nil {
            let token = refreshTokens[index]
            if let spent = token.spentAt, let replayEnd, now >= spent + replayEnd {
                refreshTokens[index].death = Death(at: spent + replayEnd, reason: "its window has closed")
            } else if let life = settings.refreshLifetime, now >= (token.lastUsedAt ?? token.issuedAt) + life {
                refreshTokens[index].death = Death(
                    at: (token.lastUsedAt ?? token.issuedAt) + life, reason: "unused for too long")
            }
        }
    }

    /// Moves everything that has happened to it into the past, as if it had waited so long.
    mutating func becomeOlder(by seconds: Double) {
        createdAt -= seconds
        for index in refreshTokens.indices { refreshTokens[index].becomeOlder(by: seconds) }
        for index in accessTokens.indices { accessTokens[index].becomeOlder(by: seconds) }
    }

    /// Takes the oldest dead refresh tokens beyond `limit`, and the oldest ended access tokens beyond it, out of the
    /// grant. At most 512 access tokens live at a time; the oldest go first.
    /// - Returns: The values that no longer mean anything.
    mutating func forget(keeping limit: Int, now: Double) -> [String] {
        guard refreshTokens.count > limit || accessTokens.count > limit else { return [] }
        var gone: [String] = []
        var surplus = refreshTokens.count - limit
        refreshTokens.removeAll { token in
            guard surplus > 0, token.death != nil else { return false }
            surplus -= 1
            gone.append(token.value)
            return true
        }
        surplus = accessTokens.count - limit
        var overflow = accessTokens.count - 512
        accessTokens.removeAll { token in
            overflow -= 1
            guard surplus > 0, overflow >= 0 || token.death != nil || token.expiresAt <= now else { return false }
            surplus -= 1
            gone.append(token.value)
            return true
        }
        return gone
    }
}
