import Catalog
import Credentials
import Egress
import Foundation
import Pacing

extension OAuthClient {
    /// Presents the refresh token of `tokens` (RFC 6749 §6); what the answer leaves out is carried over from it. On a
    /// fresh connection where the refresh token rotates.
    ///
    /// Where the provider has a recovery call and a refusal offers it, the token refused is presented there at once,
    /// inside the time that this call was given: `sendBy` and `timeout` together. A grant without a refresh token is
    /// renewed by the provider's migration call, when it has one.
    package func refresh(
        _ tokens: TokenSet, provider: Provider, app: OAuthApp, startedAt: Date = Date(), sendBy: BootInstant? = nil,
        timeout: Duration = .seconds(30)
    ) async -> ProviderOutcome<IssuedTokens> {
        let shape = provider.refresh
        guard let refreshToken = tokens.refreshToken else {
            return await migrate(
                tokens, provider: provider, app: app, startedAt: startedAt, sendBy: sendBy, timeout: timeout)
        }
        var request = TokenRequest()
        for (name, value) in provider.request.refreshExtras.sorted(by: { $0.key < $1.key }) {
            request.set(name, value)
        }
        if let grant = shape.grant { request.set("grant_type", grant) }
        request.set(shape.parameter, refreshToken.revealedText())
        let call = TokenCall(
            url: provider.refreshURL ?? provider.tokenURL, provider: provider, app: app, facts: tokens.facts,
            secrets: [refreshToken, tokens.accessToken], startedAt: startedAt, sendBy: sendBy, timeout: timeout,
            isFresh: app.replay(at: provider).replayClass.rotates, method: shape.method, format: shape.format,
            authentication: shape.authentication, offerHeader: shape.recovery?.header)
        let began = BootInstant.now()
        var end = await self.tokens(request, call)
        if let recovery = shape.recovery, case .refused(let refusal) = end.outcome, refusal.verdict == .dead,
            end.hasOffer || recovery.header == nil
        {
            end = await recover(refreshToken, at: recovery, after: call, began: began)
        }
        return carry(Self.spent(end.outcome, shape), from: tokens, provider)
    }

    private func recover(
        _ refused: Secret, at recovery: RecoveryFacts, after call: TokenCall, began: BootInstant
    ) async -> TokenCallEnd {
        let until = (call.sendBy ?? began).advanced(by: call.timeout)
        var request = TokenRequest()
        request.set(recovery.parameter, refused.revealedText())
        let second = TokenCall(
            url: recovery.url, provider: call.provider, app: call.app, facts: call.facts, secrets: call.secrets,
            startedAt: call.startedAt, sendBy: until,
            timeout: max(.milliseconds(1), BootInstant.now().duration(to: until)),
            isFresh: true)
        return await tokens(request, second)
    }

    private func migrate(
        _ tokens: TokenSet, provider: Provider, app: OAuthApp, startedAt: Date, sendBy: BootInstant?, timeout: Duration
    ) async -> ProviderOutcome<IssuedTokens> {
        guard let migration = provider.refresh.migration else {
            return .notSent(EgressFailure(.badRequest, "the grant has no refresh token"))
        }
        var request = TokenRequest()
        request.set(migration.parameter, tokens.accessToken.revealedText())
        let call = TokenCall(
            url: migration.url, provider: provider, app: app, facts: tokens.facts, secrets: [tokens.accessToken],
            startedAt: startedAt, sendBy: sendBy, timeout: timeout, isFresh: true)
        return carry(await self.tokens(request, call).outcome, from: tokens, provider)
    }

    /// Where every call spends the token, a refusal that is no verdict on the grant says nothing of what lives now.
    private static func spent<Success>(
        _ outcome: ProviderOutcome<Success>, _ shape: RefreshShape
    ) -> ProviderOutcome<Success> {
        guard shape.alwaysSpends, case .refused(let refusal) = outcome else { return outcome }
        var wait: Duration?
        switch refusal.verdict {
        case .dead, .certainlyRevoked, .needsUser: return outcome
        case .providerTrouble(let retryAfter): wait = retryAfter
        case .appFault, .unknown: break
        }
        return .ambiguous(
            ProviderAmbiguity(
                sample: refusal.sample, retryAfter: wait, foundRefreshToken: refusal.foundRefreshToken))
    }

    private func carry(
        _ outcome: ProviderOutcome<(JSONValue, IssuedTokens)>, from tokens: TokenSet, _ provider: Provider
    ) -> ProviderOutcome<IssuedTokens> {
        outcome.map { document, issued in
            var issued = issued
            let found = TokenAnswerReader.collect(provider.facts, isFirst: false) { source in
                Self.value(source, document, nil, nil)
            }
            issued.tokens.facts = found.facts
            issued.refusedFacts = found.refused
            issued.tokens = issued.tokens.carryingOver(tokens)
            return issued
        }
    }
}
