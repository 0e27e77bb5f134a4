import Catalog
import Credentials
import Egress
import Foundation
import Pacing

/// What ``OAuthClient`` sends with: libcurl, or a twin in tests.
package protocol OAuthTransport: Sendable {
    func send(_ request: EgressRequest) async -> EgressOutcome
}

extension EgressClient: OAuthTransport {}

/// Calls to token, revocation and probe endpoints. One code path for all providers: what differs is data of the
/// catalog. It decides what an answer means, and nothing about connections.
package struct OAuthClient: Sendable {
    let transport: any OAuthTransport

    package init(transport: any OAuthTransport) { self.transport = transport }

    package init(egress: EgressClient) { self.init(transport: egress) }

    /// Redeems an authorization code (RFC 6749 §4.1.3), always on a fresh connection, since a code is good for once.
    /// - Parameters:
    ///   - callback: for facts that come with the callback only.
    ///   - scopes: as asked, to tell what was not granted.
    ///   - facts: what the user typed; kept in the token set.
    ///   - startedAt: the attempt's start, from which lifetimes count.
    ///   - sendBy: not sent later than this.
    package func exchange(
        code: Secret, callback: CallbackParameters?, codeVerifier: Secret?, nonce: String?, scopes: [String],
        provider: Provider, app: OAuthApp, facts: [String: String], startedAt: Date = Date(),
        sendBy: BootInstant? = nil, timeout: Duration = .seconds(30)
    ) async -> ProviderOutcome<IssuedTokens> {
        var request = TokenRequest()
        for (name, value) in provider.request.exchangeExtras.sorted(by: { $0.key < $1.key }) {
            request.set(name, value)
        }
        request.set("grant_type", "authorization_code")
        request.set("code", code.revealedText())
        request.set("redirect_uri", app.redirectURI)
        if let codeVerifier { request.set("code_verifier", codeVerifier.revealedText()) }
        let outcome = await tokens(
            request, to: provider.tokenURL, provider: provider, app: app, facts: facts,
            secrets: [code, codeVerifier].compactMap(\.self), startedAt: startedAt, sendBy: sendBy, timeout: timeout,
            isFresh: true)
        return outcome.map { document, issued in
            var issued = issued
            let claims = document[AnswerPath("id_token")]?.plain.flatMap { IDTokenClaims($0) }
            let found = TokenAnswerReader.collect(provider.facts, isFirst: true) { source in
                Self.value(source, document, callback, claims)
            }
            issued.tokens.facts = facts.merging(found.facts) { _, new in new }
            issued.refusedFacts = found.refused
            let issuer = try? provider.issuer?.value.resolve(app.values(facts))
            if let problem = claims?.problem(clientID: app.clientID, nonce: nonce, issuer: issuer) {
                issued.refusedFacts.append(problem)
            }
            if let granted = issued.tokens.scopes { issued.missingScopes = scopes.filter { !granted.contains($0) } }
            return issued
        }
    }

    /// Presents the refresh token of `tokens` (RFC 6749 §6); what the answer leaves out is carried over from it. On a
    /// fresh connection where the refresh token rotates.
    package func refresh(
        _ tokens: TokenSet, provider: Provider, app: OAuthApp, startedAt: Date = Date(), sendBy: BootInstant? = nil,
        timeout: Duration = .seconds(30)
    ) async -> ProviderOutcome<IssuedTokens> {
        guard let refreshToken = tokens.refreshToken else {
            return .notSent(EgressFailure(.badRequest, "the grant has no refresh token"))
        }
        var request = TokenRequest()
        for (name, value) in provider.request.refreshExtras.sorted(by: { $0.key < $1.key }) {
            request.set(name, value)
        }
        request.set("grant_type", "refresh_token")
        request.set("refresh_token", refreshToken.revealedText())
        let outcome = await self.tokens(
            request, to: provider.refreshURL ?? provider.tokenURL, provider: provider, app: app, facts: tokens.facts,
            secrets: [refreshToken, tokens.accessToken], startedAt: startedAt, sendBy: sendBy, timeout: timeout,
            isFresh: app.replay(at: provider).replayClass.rotates)
        return outcome.map { document, issued in
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

    private func tokens(
        _ request: TokenRequest, to url: URLTemplate, provider: Provider, app: OAuthApp, facts: [String: String],
        secrets: [Secret], startedAt: Date, sendBy: BootInstant?, timeout: Duration, isFresh: Bool
    ) async -> ProviderOutcome<(JSONValue, IssuedTokens)> {
        let first = await send(
            request, to: url, provider: provider, app: app, facts: facts, secrets: secrets, startedAt: startedAt,
            sendBy: sendBy, timeout: timeout, isFresh: isFresh)
        return await app.retried(first) { app in
            await send(
                request, to: url, provider: provider, app: app, facts: facts, secrets: secrets, startedAt: startedAt,
                sendBy: sendBy, timeout: timeout, isFresh: isFresh)
        }
    }

    private func send(
        _ request: TokenRequest, to url: URLTemplate, provider: Provider, app: OAuthApp, facts: [String: String],
        secrets: [Secret], startedAt: Date, sendBy: BootInstant?, timeout: Duration, isFresh: Bool
    ) async -> ProviderOutcome<(JSONValue, IssuedTokens)> {
        var request = request
        request.headers = provider.request.headers.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
        request.authenticate(app, provider: provider, as: provider.clientAuthentication)
        let (headers, body) = request.encoded(provider.request.format)
        var sent: EgressRequest
        do {
            sent = try Self.request(
                "POST", url, app.values(facts), reach: provider.reach, headers: headers, body: body)
        } catch { return .notSent(EgressFailure(.badURL, error.description)) }
        sent.timeout = timeout
        sent.sendBy = sendBy
        sent.freshConnection = isFresh
        let response: EgressResponse
        switch await transport.send(sent) {
        case .notSent(let failure): return .notSent(failure)
        case .ambiguous(let failure): return .ambiguous(ProviderAmbiguity(failure: failure))
        case .answered(let answer): response = answer
        }
        let shape = provider.answer
        let document = AnswerDocument(response)
        let hasErrorShape =
            document.fields.map { fields in shape.errorShapes.contains { $0.holds(in: fields) } } ?? false
        if (200..<300).contains(response.status), !hasErrorShape, let fields = document.fields,
            let issued = TokenAnswerReader(provider: provider, startedAt: startedAt).read(fields)
        {
            return .success((fields, issued))
        }
        let judgement = Judgement(
            table: provider.verdicts, errorCode: shape.errorCode, errorDescription: shape.errorDescription,
            refreshToken: shape.roots.map { $0 + shape.refreshToken },
            secrets: secrets + [app.clientSecret].compactMap(\.self), now: Date())
        switch judgement.judge(response, document, isDefinite: hasErrorShape) {
        case .refused(let refusal): return .refused(refusal)
        case .ambiguous(let ambiguity): return .ambiguous(ambiguity)
        }
    }

    static func request(
        _ method: String, _ url: URLTemplate, _ values: [String: String], reach: Reach,
        headers: [(name: String, value: String)], body: EgressBody
    ) throws(InvalidValue) -> EgressRequest {
        var request = EgressRequest(
            method: method, url: try url.resolve(values), headers: headers, body: body,
            policy: AddressPolicy(for: url, reach: reach))
        request.allowsPlainHTTP = reach.allowsPlainHTTP
        return request
    }

    private static func value(
        _ source: Fact.Source, _ document: JSONValue, _ callback: CallbackParameters?, _ claims: IDTokenClaims?
    ) -> String? {
        switch source {
        case .answer(let path): document[path]?.plain
        case .callback(let name): callback?.further[name]
        case .idToken(let claim): claims?.text(claim)
        case .probe: nil
        }
    }
}
