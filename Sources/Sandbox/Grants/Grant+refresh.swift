/// What a grant says to a refresh token.
enum RefreshDecision: Sendable {
    /// A token set; `again` when a spent token was answered once more.
    case issued(TokenPair, again: Bool)
    /// `invalid_grant`, with the reason. `replay` when the token had been spent; `endangersClient` when the class
    /// punishes the client for it.
    case refused(reason: String, replay: Bool, endangersClient: Bool)
}

extension Grant {
    /// Presents refresh token `id`.
    ///
    /// The rules, as the Spin model of the refresh protocol has them for a provider: the first use of a token spends it and
    /// kills all others that still answered, so only the newest token and the one just spent can be alive at once. The spent
    /// one dies at once (`strict`), with its window (`windowed`), or with the first use of what replaced it.
    mutating func refresh(
        _ id: Int, scope: String, settings: ClassSettings, now: Double, mint: inout TokenMint
    ) -> RefreshDecision {
        age(settings: settings, now: now)
        guard let index = refreshTokens.lastIndex(where: { $0.id == id }) else {
            return .refused(reason: "unknown refresh token", replay: false, endangersClient: false)
        }
        let isReplay = refreshTokens[index].spentAt != nil
        if isReplay { replays += 1 }
        if let death {
            return .refused(reason: "the grant is dead: \(death.reason)", replay: isReplay, endangersClient: false)
        }
        if let death = refreshTokens[index].death {
            if isReplay, settings.harm == .family { kill("\(refreshTokens[index].name) was replayed", now: now) }
            return .refused(
                reason: "\(refreshTokens[index].name) is dead: \(death.reason)", replay: isReplay,
                endangersClient: isReplay && settings.harm == .app)
        }

        refreshes += 1
        refreshTokens[index].uses += 1
        refreshTokens[index].lastUsedAt = now
        if isReplay {
            return .issued(
                reissue(for: id, scope: scope, settings: settings, now: now, mint: &mint), again: true)
        }
        switch providerClass.rotation {
        case .never:
            break
        case .once:
            refreshTokens[index].spentAt = now
            refreshTokens[index].death = Death(at: now, reason: "it was spent")
        case .windowed, .untilUsed:
            refreshTokens[index].spentAt = now
            for other in refreshTokens.indices where other != index && refreshTokens[other].death == nil {
                refreshTokens[other].death = Death(at: now, reason: "\(refreshTokens[index].name) was used")
            }
        }
        return .issued(issue(parent: id, scope: scope, settings: settings, now: now, mint: &mint), again: false)
    }

    /// What a spent token that still answers gets.
    private mutating func reissue(
        for id: Int, scope: String, settings: ClassSettings, now: Double, mint: inout TokenMint
    ) -> TokenPair {
        switch settings.reissue {
        case .samePair:
            if let refresh = refreshTokens.last(where: { $0.parent == id && $0.death == nil && $0.spentAt == nil }),
                let access = accessTokens.last(where: { $0.refresh == refresh.id })
            {
                return TokenPair(refresh: refresh, access: access)
            }
        case .newPairKillsSibling:
            for index in refreshTokens.indices
            where refreshTokens[index].parent == id && refreshTokens[index].death == nil {
                refreshTokens[index].death = Death(at: now, reason: "r\(id) was presented again: the newest counts")
            }
        case .newPair:
            break
        }
        return issue(parent: id, scope: scope, settings: settings, now: now, mint: &mint)
    }

    /// Shows access token `id` to the API. In `until-used` its first use ends the refresh token spent for it.
    /// - Returns: Why it is refused; nil when it is good.
    mutating func use(access id: Int, settings: ClassSettings, now: Double) -> String? {
        age(settings: settings, now: now)
        guard let index = accessTokens.lastIndex(where: { $0.id == id }) else { return "unknown access token" }
        let token = accessTokens[index]
        if let death = token.death { return "\(token.name) is dead: \(death.reason)" }
        if now >= token.expiresAt { return "\(token.name) has expired" }
        if !token.isUsed {
            accessTokens[index].isUsed = true
            if providerClass.rotation == .untilUsed,
                let refresh = refreshTokens.last(where: { $0.id == token.refresh }),
                let parent = refreshTokens.lastIndex(where: { $0.id == refresh.parent && $0.death == nil })
            {
                refreshTokens[parent].death = Death(at: now, reason: "\(token.name) was used")
            }
        }
        return nil
    }
}
