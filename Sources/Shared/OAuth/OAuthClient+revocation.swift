import Catalog
import Credentials
import Egress
import Foundation
import Pacing

/// What a revocation came to.
package struct RevocationProof: Sendable, Hashable {
    package enum Result: String, Sendable, Hashable, CaseIterable {
        case revoked
        /// The provider no longer knew the token.
        case alreadyGone = "already_gone"
        /// The provider has no call for it; nothing was sent.
        case unsupported
    }

    package let result: Result
    /// The provider's status; 0 when nothing was sent.
    package let status: Int
    /// What the call ends at the provider.
    package let kills: RevocationReach

    package init(result: Result, status: Int, kills: RevocationReach) {
        self.result = result
        self.status = status
        self.kills = kills
    }
}

extension OAuthClient {
    /// Revokes a grant at its provider (RFC 7009, or the provider's own call).
    package func revoke(
        _ tokens: TokenSet, provider: Provider, app: OAuthApp, sendBy: BootInstant? = nil,
        timeout: Duration = .seconds(30)
    ) async -> ProviderOutcome<RevocationProof> {
        guard let facts = provider.revocation else {
            return .success(RevocationProof(result: .unsupported, status: 0, kills: .token))
        }
        let first = await revoke(
            tokens, facts, provider: provider, app: app, sendBy: sendBy, timeout: timeout)
        return await app.retried(first) { app in
            await revoke(tokens, facts, provider: provider, app: app, sendBy: sendBy, timeout: timeout)
        }
    }

    private func revoke(
        _ tokens: TokenSet, _ facts: RevocationFacts, provider: Provider, app: OAuthApp, sendBy: BootInstant?,
        timeout: Duration
    ) async -> ProviderOutcome<RevocationProof> {
        var request = TokenRequest()
        request.headers = facts.headers.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
        let refresh = facts.token == .refresh ? tokens.refreshToken : nil
        let token = refresh ?? tokens.accessToken
        if facts.format != .none {
            request.set(facts.tokenParameter, token.revealedText())
            if facts.sendsHint { request.set("token_type_hint", refresh == nil ? "access_token" : "refresh_token") }
        }
        switch facts.authority {
        case .client: request.authenticate(app, provider: provider, as: provider.clientAuthentication)
        case .basic: request.authenticate(app, provider: provider, as: .basic)
        case .bearer: request.headers.append(("Authorization", "Bearer " + tokens.accessToken.revealedText()))
        case .none: break
        }
        var values = app.values(tokens.facts)
        values["client_id"] = app.clientID
        var sent: EgressRequest
        do {
            sent = try Self.request(
                facts.method, facts.url, values, reach: provider.reach, headers: request.headers, body: .none)
        } catch { return .notSent(EgressFailure(.badURL, error.description)) }
        switch facts.format {
        case .form: (sent.headers, sent.body) = request.encoded(.form)
        case .json: (sent.headers, sent.body) = request.encoded(.json)
        case .query: sent.url += (sent.url.contains("?") ? "&" : "?") + FormEncoding.encode(request.parameters)
        case .none: break
        }
        sent.timeout = timeout
        sent.sendBy = sendBy
        sent.freshConnection = true
        switch await transport.send(sent) {
        case .notSent(let failure): return .notSent(failure)
        case .ambiguous(let failure): return .ambiguous(ProviderAmbiguity(failure: failure))
        case .answered(let response): return judge(response, facts, tokens: tokens, provider: provider, app: app)
        }
    }

    private func judge(
        _ response: EgressResponse, _ facts: RevocationFacts, tokens: TokenSet, provider: Provider, app: OAuthApp
    ) -> ProviderOutcome<RevocationProof> {
        let shape = provider.answer
        let document = AnswerDocument(response)
        let answer = Judgement.AnswerFacts(
            status: response.status, codes: shape.errorCode.compactMap { document.fields?[$0]?.plain },
            description: shape.errorDescription.compactMap { document.fields?[$0]?.plain }
                .joined(separator: " "),
            fields: document.fields)
        if facts.alreadyGone.contains(where: { $0.matches(answer) }) {
            return .success(RevocationProof(result: .alreadyGone, status: response.status, kills: facts.kills))
        }
        let isSuccess =
            facts.successStatuses.isEmpty
            ? (200..<300).contains(response.status) : facts.successStatuses.contains(response.status)
        let isConfirmed = facts.successField.map { rule in document.fields.map(rule.holds) ?? false } ?? true
        if isSuccess, isConfirmed {
            return .success(RevocationProof(result: .revoked, status: response.status, kills: facts.kills))
        }
        let judgement = Judgement(
            table: provider.verdicts, errorCode: shape.errorCode, errorDescription: shape.errorDescription,
            secrets: [tokens.refreshToken, tokens.accessToken, app.clientSecret].compactMap(\.self), now: Date())
        switch judgement.judge(response, document, isDefinite: true) {
        case .refused(let refusal): return .refused(refusal)
        case .ambiguous(let ambiguity): return .ambiguous(ambiguity)
        }
    }
}
