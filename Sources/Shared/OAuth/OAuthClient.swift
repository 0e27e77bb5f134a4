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
        let call = TokenCall(
            url: provider.tokenURL, provider: provider, app: app, facts: facts,
            secrets: [code, codeVerifier].compactMap(\.self), startedAt: startedAt, sendBy: sendBy, timeout: timeout,
            isFresh: true)
        return await tokens(request, call).outcome.map { document, issued in
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

    /// One call to a token endpoint.
    struct TokenCall {
        let url: URLTemplate
        let provider: Provider
        var app: OAuthApp
        let facts: [String: String]
        /// What is sent, to be hidden in samples.
        let secrets: [Secret]
        let startedAt: Date
        var sendBy: BootInstant?
        var timeout: Duration
        let isFresh: Bool
        var method = RefreshShape.Method.post
        var format: TokenRequestShape.Format?
        var authentication: ClientAuthentication?
        /// The header by which a refusal offers a recovery call.
        var offerHeader: String?
    }

    /// How a call ended, and whether the answer offers a recovery call.
    struct TokenCallEnd {
        let outcome: ProviderOutcome<(JSONValue, IssuedTokens)>
        var hasOffer = false
    }

    /// Sends, and once more with the app's other secret when the provider refuses the app itself.
    func tokens(_ request: TokenRequest, _ call: TokenCall) async -> TokenCallEnd {
        let first = await send(request, call)
        var hasOffer = first.hasOffer
        let outcome = await call.app.retried(first.outcome) { app in
            var again = call
            again.app = app
            let second = await send(request, again)
            hasOffer = second.hasOffer
            return second.outcome
        }
        return TokenCallEnd(outcome: outcome, hasOffer: hasOffer)
    }

    private func send(_ request: TokenRequest, _ call: TokenCall) async -> TokenCallEnd {
        let provider = call.provider
        let app = call.app
        var request = request
        request.headers = provider.request.headers.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
        request.authenticate(app, provider: provider, as: call.authentication ?? provider.clientAuthentication)
        let (headers, body) = request.encoded(call.format ?? provider.request.format)
        var sent: EgressRequest
        do {
            sent = try Self.request(
                call.method.rawValue, call.url, app.values(call.facts), reach: provider.reach, headers: headers,
                body: body)
        } catch { return TokenCallEnd(outcome: .notSent(EgressFailure(.badURL, error.description))) }
        if (call.format ?? provider.request.format) == .query {
            sent.url += (sent.url.contains("?") ? "&" : "?") + FormEncoding.encode(request.parameters)
        }
        sent.timeout = call.timeout
        sent.sendBy = call.sendBy
        sent.freshConnection = call.isFresh
        switch await transport.send(sent) {
        case .notSent(let failure): return TokenCallEnd(outcome: .notSent(failure))
        case .ambiguous(let failure): return TokenCallEnd(outcome: .ambiguous(ProviderAmbiguity(failure: failure)))
        case .answered(let answer):
            let offer = call.offerHeader.flatMap { answer.headers[$0] }
            return TokenCallEnd(outcome: read(answer, call), hasOffer: offer?.lowercased() == "true")
        }
    }

    private func read(_ response: EgressResponse, _ call: TokenCall) -> ProviderOutcome<(JSONValue, IssuedTokens)> {
        let provider = call.provider
        let shape = provider.answer
        let document = AnswerDocument(response)
        let hasErrorShape =
            document.fields.map { fields in shape.errorShapes.contains { $0.holds(in: fields) } } ?? false
        if (200..<300).contains(response.status), !hasErrorShape, let fields = document.fields,
            let issued = TokenAnswerReader(provider: provider, startedAt: call.startedAt).read(fields)
        {
            return .success((fields, issued))
        }
        let judgement = Judgement(
            table: provider.verdicts, errorCode: shape.errorCode, errorDescription: shape.errorDescription,
            refreshToken: shape.roots.map { $0 + shape.refreshToken },
            secrets: call.secrets + [call.app.clientSecret, call.app.spare?.secret].compactMap(\.self), now: Date())
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

    static func value(
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
