import Vault

/// A token set as the token endpoint tells it.
struct IssuedSet: Sendable {
    let pair: TokenPair
    let scope: String
    let isAgain: Bool
    /// Whole seconds the access token still has.
    let expiresIn: Int
}

extension ProviderBook {
    /// Redeems an authorization code (RFC 6749 §4.1.3, RFC 7636 §4.6).
    mutating func exchange(
        code value: String, redirectURI: String?, verifier: String?, client: String, in providerClass: ProviderClass,
        now: Double
    ) throws(OAuthRefusal) -> (grant: Int, set: IssuedSet) {
        guard let code = codes[value], code.providerClass == providerClass, code.client == client else {
            throw .grant("unknown authorization code")
        }
        if let grant = code.grant {
            kill(grant, "its authorization code was used twice", now: now)
            throw .grant("the authorization code was used before; what it gave is revoked")
        }
        guard now < code.issuedAt + AuthorizationCode.lifetime else {
            throw .grant("the authorization code has expired")
        }
        guard redirectURI == code.redirectURI else {
            throw .grant("redirect_uri is not the one of the authorization request")
        }
        switch (code.challenge, verifier) {
        case (nil, nil): break
        case (nil, .some): throw .grant("code_verifier was sent, but the authorization request had no code_challenge")
        case (.some, nil): throw .grant("code_verifier is missing")
        case (.some(let challenge), .some(let verifier)):
            guard (43...128).contains(verifier.utf8.count) else { throw .grant("code_verifier is not 43 to 128 long") }
            guard Encoding.base64url(Digest.sha256(verifier)) == challenge else {
                throw .grant("code_verifier does not match the code_challenge")
            }
        }

        if settings[providerClass].oneGrantPerAccount {
            for older in grants.values
            where older.providerClass == providerClass && older.client == client && older.account == code.account {
                kill(older.id, "its account granted again: one grant an account", now: now)
            }
        }
        let id = mint.number()
        var grant = Grant(
            id: id, providerClass: providerClass, client: client, account: code.account, scope: code.scope,
            createdAt: now)
        let pair = grant.issue(
            parent: nil, scope: code.scope, settings: settings[providerClass], now: now, mint: &mint)
        grants[id] = grant
        codes[value]?.grant = id
        register(pair, of: id, now: now)
        return (id, set(pair, scope: code.scope, again: false, now: now))
    }

    /// Presents a refresh token (RFC 6749 §6).
    mutating func refresh(
        _ value: String, scope asked: String?, client: String, in providerClass: ProviderClass, now: Double
    ) throws(OAuthRefusal) -> IssuedSet {
        guard case .refresh(let id, let token) = places[value], let grant = grants[id],
            grant.providerClass == providerClass, grant.client == client
        else { throw .grant("unknown refresh token") }
        var scope = grant.scope
        if let asked {
            let granted = Set(grant.scope.split(separator: " "))
            guard asked.split(separator: " ").allSatisfy(granted.contains) else {
                throw .malformed("invalid_scope", "scope asks for more than was granted")
            }
            scope = asked
        }
        if let wait = grants[id]?.admit(settings: settings[providerClass], now: now) {
            throw .limited(retryAfter: max(1, Int(wait.rounded(.up))))
        }
        if let earliest = settings[providerClass].earliestRefresh, grant.death == nil,
            let newest = grant.accessTokens.last, now < newest.issuedAt + earliest
        {
            throw .early()
        }
        let decision = grants[id]?.refresh(
            token, scope: scope, settings: settings[providerClass], now: now, mint: &mint)
        revision += 1
        switch decision {
        case .issued(let pair, let again):
            register(pair, of: id, now: now)
            return set(pair, scope: scope, again: again, now: now)
        case .refused(let reason, let replay, let endangersClient):
            if endangersClient {
                clients[client]?.deaths[providerClass] = Death(at: now, reason: "r\(token) was replayed")
            }
            throw .grant(reason, replay: replay)
        case nil:
            throw .grant("unknown refresh token")
        }
    }

    /// Revokes the grant of a token (RFC 7009 §2).
    /// - Returns: What was found, in words.
    mutating func revoke(
        _ value: String, client: String, in providerClass: ProviderClass, now: Double
    ) throws(OAuthRefusal) -> String {
        guard let place = places[value], let grant = grants[place.grant], grant.providerClass == providerClass else {
            return "unknown token: nothing to revoke"
        }
        guard grant.client == client else {
            throw .malformed("invalid_grant", "the token was issued to another client")
        }
        if let death = grant.death { return "the grant was dead already: \(death.reason)" }
        kill(grant.id, "its client revoked it", now: now)
        return "\(grant.name) is revoked"
    }

    private func set(_ pair: TokenPair, scope: String, again: Bool, now: Double) -> IssuedSet {
        IssuedSet(
            pair: pair, scope: scope, isAgain: again,
            expiresIn: max(0, Int((pair.access.expiresAt - now).rounded(.down))))
    }
}
