import Catalog
import Credentials
import Vault

/// What a browser is sent to for consent (RFC 6749 §4.1.1), and what must be kept for its return: the hash of `state`,
/// and sealed, verifier and nonce.
package struct AuthorizationRequest: Sendable {
    package let url: String
    /// 256 random bits, base64url.
    package let state: String
    /// nil where the catalog says that the provider refuses PKCE.
    package let codeVerifier: Secret?
    /// Drawn when `openid` is among the scopes (OpenID Connect Core §3.1.2.1).
    package let nonce: String?
    /// What was asked for.
    package let scopes: [String]

    /// - Parameters:
    ///   - scopes: nil asks for those of the integration.
    ///   - facts: what the user typed, as ``Integration/values(typed:)`` returned it.
    ///   - extras: further parameters, which outrank the catalog's.
    /// - Throws: ``InvalidValue`` when a typed value is refused, or an extra has the name of a parameter that the
    ///   protocol sets.
    package init(
        integration: Integration, provider: Provider, app: OAuthApp, scopes: [String]? = nil,
        facts: [String: String] = [:], extras: [String: String] = [:], state: String = SecureRandom.token()
    ) throws(InvalidValue) {
        let scopes = scopes ?? integration.scopes
        let scopeParameter = integration.scopeParameter ?? provider.scopeParameter
        let pkce = provider.pkce == .s256 ? PKCE() : nil
        let nonce = scopes.contains("openid") ? SecureRandom.token(bytes: 16) : nil

        var reserved: [(name: String, value: String)] = [
            ("response_type", "code"), (provider.clientIDParameter, app.clientID), ("redirect_uri", app.redirectURI),
            ("state", state),
        ]
        if !scopes.isEmpty { reserved.append((scopeParameter, scopes.joined(separator: provider.scopeSeparator))) }
        if let pkce { reserved += [("code_challenge", pkce.challenge), ("code_challenge_method", "S256")] }
        if let nonce { reserved.append(("nonce", nonce)) }

        var others = provider.authorizeExtras
        others.merge(integration.authorizeExtras) { _, own in own }
        others.merge(extras) { _, own in own }
        let names = AuthorizeExtras.reserved.union(reserved.map(\.name)).union([scopeParameter])
        if let taken = others.keys.sorted().first(where: names.contains) {
            throw InvalidValue(
                item: "authorization parameter \(taken)", problem: "is set by the protocol itself",
                repair: "leave it out of the extra parameters")
        }
        let base = try provider.authorizationURL.resolve(app.values(facts))
        let query = FormEncoding.encode(reserved + others.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })
        self.url = base + (base.contains("?") ? "&" : "?") + query
        self.state = state
        self.codeVerifier = pkce?.verifier
        self.nonce = nonce
        self.scopes = scopes
    }
}
