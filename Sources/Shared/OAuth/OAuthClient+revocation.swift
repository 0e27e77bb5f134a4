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
        let first = await revoke(tokens, facts, provider: provider, app: app, sendBy: sendBy, timeout: timeout)
        return await app.retried(first) { app in
            await revoke(tokens, facts, provider: provider, app: app, sendBy: sendBy, timeout: timeout)
        }
    }

    private func revoke(
        _ tokens: TokenSet, _ facts: RevocationFacts, provider: Provider, app: OAuthApp, sendBy: BootInstant?,
        timeout: Duration
    ) async -> ProviderOutcome<RevocationProof> {
        var values = app.values(tokens.facts)
        values["client_id"] = app.clientID
        if let lookup = facts.lookup {
            switch await find(lookup, tokens, values, provider, sendBy: sendBy, timeout: timeout) {
            case .success(let found): values["found"] = found
            case .refused(let refusal): return .refused(refusal)
            case .notSent(let failure): return .notSent(failure)
            case .ambiguous(let ambiguity): return .ambiguous(ambiguity)
            }
        }
        var sent: EgressRequest
        do { sent = try revocationRequest(facts, tokens, values, provider, app) } catch {
            return .notSent(EgressFailure(.badURL, error.description))
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

    private func revocationRequest(
        _ facts: RevocationFacts, _ tokens: TokenSet, _ values: [String: String], _ provider: Provider, _ app: OAuthApp
    ) throws(InvalidValue) -> EgressRequest {
        var request = TokenRequest()
        request.headers = facts.headers.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
        let refresh = facts.token == .refresh ? tokens.refreshToken : nil
        if facts.format != .none, facts.token != .none {
            request.set(facts.tokenParameter, (refresh ?? tokens.accessToken).revealedText())
            if facts.sendsHint { request.set("token_type_hint", refresh == nil ? "access_token" : "refresh_token") }
        }
        for (name, template) in facts.parameters.sorted(by: { $0.key < $1.key }) {
            request.set(name, try template.resolve(values))
        }
        switch facts.authority {
        case .client: request.authenticate(app, provider: provider, as: provider.clientAuthentication)
        case .basic: request.authenticate(app, provider: provider, as: .basic)
        case .bearer: request.headers.append(("Authorization", "Bearer " + tokens.accessToken.revealedText()))
        case .clientID: request.set(provider.clientIDParameter, app.clientID)
        case .secret:
            request.set(provider.clientIDParameter, app.clientID)
            if let secret = app.clientSecret {
                request.headers.append(("Authorization", facts.secretScheme + " " + secret.revealedText()))
            }
        case .none: break
        }
        if let name = facts.tokenHeader { request.headers.append((name, tokens.accessToken.revealedText())) }
        var sent = try Self.request(
            facts.method, facts.url, values, reach: provider.reach, headers: request.headers, body: .none)
        switch facts.format {
        case .form: (sent.headers, sent.body) = request.encoded(.form)
        case .json: (sent.headers, sent.body) = request.encoded(.json)
        case .query: sent.url += (sent.url.contains("?") ? "&" : "?") + FormEncoding.encode(request.parameters)
        case .none: break
        }
        return sent
    }

    /// The value that names what is to be revoked, asked for with the access token.
    private func find(
        _ lookup: RevocationLookup, _ tokens: TokenSet, _ values: [String: String], _ provider: Provider,
        sendBy: BootInstant?, timeout: Duration
    ) async -> ProviderOutcome<String> {
        var request: EgressRequest
        do {
            request = try Self.request(
                "GET", lookup.url, values, reach: provider.reach,
                headers: [
                    ("Authorization", "Bearer " + tokens.accessToken.revealedText()), ("Accept", "application/json"),
                ], body: .none)
        } catch { return .notSent(EgressFailure(.badURL, error.description)) }
        request.timeout = timeout
        request.sendBy = sendBy
        request.retriesIdempotent = true
        let response: EgressResponse
        switch await transport.send(request) {
        case .notSent(let failure): return .notSent(failure)
        case .ambiguous(let failure): return .ambiguous(ProviderAmbiguity(failure: failure))
        case .answered(let answer): response = answer
        }
        let document = AnswerDocument(response)
        if (200..<300).contains(response.status), let found = document.fields?[lookup.path]?.plain, !found.isEmpty {
            return .success(found)
        }
        var judgement = Judgement(
            table: .generic, errorCode: provider.answer.errorCode, errorDescription: provider.answer.errorDescription,
            secrets: [tokens.refreshToken, tokens.accessToken].compactMap(\.self), now: Date())
        // An access token that is no longer known has nothing left to look up.
        judgement.generic = { $0.status == 401 ? .dead : .unknown }
        switch judgement.judge(response, document, isDefinite: true) {
        case .refused(let refusal): return .refused(refusal)
        case .ambiguous(let ambiguity): return .ambiguous(ambiguity)
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
            fields: document.fields, headers: response.headers)
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
