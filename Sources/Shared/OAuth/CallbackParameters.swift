import Catalog
import Credentials

/// The parameters with which a browser comes back (RFC 6749 §4.1.2), from the query or a `form_post` body.
package struct CallbackParameters: Sendable {
    package let state: String?
    package let code: Secret?
    package let error: String?
    package let errorDescription: String?
    /// `iss` (RFC 9207).
    package let issuer: String?
    /// The rest, such as Intuit's `realmId`.
    package let further: [String: String]

    /// - Throws: ``InvalidValue`` when a parameter of the protocol comes twice (RFC 6749 §3.1), or there are too many.
    package init(parsing query: String) throws(InvalidValue) {
        guard query.utf8.count <= 16_384 else {
            throw InvalidValue(item: "callback", problem: "is longer than 16 KiB", repair: "start the connect again")
        }
        var values: [String: String] = [:]
        for (name, value) in FormEncoding.decode(query) {
            if values[name] != nil, Self.own.contains(name) {
                throw InvalidValue(
                    item: "callback parameter \(name)", problem: "comes twice", repair: "start the connect again")
            }
            values[name] = value
        }
        func take(_ name: String) -> String? { values[name].flatMap { $0.isEmpty ? nil : $0 } }
        state = take("state")
        code = take("code").map { Secret($0) }
        error = take("error")
        errorDescription = take("error_description")
        issuer = take("iss")
        further = values.filter { !Self.own.contains($0.key) }
    }

    private static let own: Set<String> = ["state", "code", "error", "error_description", "error_uri", "iss"]

    /// Tells code from refusal, after checking `iss` against what the catalog expects (RFC 9207 §2.4).
    /// - Parameter facts: what the user typed when the authorization was opened.
    package func answer(from provider: Provider, app: OAuthApp, facts: [String: String] = [:])
        throws(CallbackFault) -> CallbackAnswer
    {
        if let expectation = provider.issuer {
            if let issuer {
                // An expectation that cannot be built from these values cannot be met either.
                guard let expected = try? expectation.value.resolve(app.values(facts)), expected == issuer else {
                    throw .issuerMismatch
                }
            } else if expectation.isRequired {
                throw .issuerMissing
            }
        }
        if let error { return .refused(AuthorizationRefusal(error, errorDescription, provider: provider)) }
        guard let code else { throw .empty }
        return .code(code)
    }
}

package enum CallbackAnswer: Sendable {
    case code(Secret)
    case refused(AuthorizationRefusal)
}

/// A callback that must not be gone on with.
package enum CallbackFault: Error, Sendable, Hashable {
    /// Another authorization server than ours answered: a mix-up attack, or a wrong `issuer` in the catalog.
    case issuerMismatch
    case issuerMissing
    /// Neither code nor error.
    case empty
}

/// A consent that was not given, by kind; codes are RFC 6749 §4.1.2.1 and OpenID Connect Core §3.1.2.6.
package struct AuthorizationRefusal: Sendable, Hashable {
    package enum Kind: String, Sendable, Hashable, CaseIterable {
        /// The user said no.
        case denied
        /// The OAuth app is set up wrong: id, redirect URI, scopes.
        case setup
        /// The user must do something at the provider first: sign in, ask an administrator.
        case needsUser = "needs_user"
        /// Trouble at the provider; trying again may help.
        case temporary
        case unknown
    }

    package let kind: Kind
    /// Safe to show and log.
    package let code: String
    package let description: String?

    init(_ error: String, _ description: String?, provider: Provider) {
        code = Redaction.code(error)
        self.description = description.map { Redaction.redact($0) }
        switch error {
        case "access_denied", "user_denied", "user_cancelled_login", "user_cancelled_authorize": kind = .denied
        case _ where provider.verdicts.needsUser.contains(where: { $0.matcher.code == error }): kind = .needsUser
        case "login_required", "interaction_required", "consent_required", "account_selection_required":
            kind = .needsUser
        case "server_error", "temporarily_unavailable": kind = .temporary
        case "invalid_request", "invalid_client", "unauthorized_client", "unsupported_response_type", "invalid_scope",
            "redirect_uri_mismatch", "application_suspended", "invalid_redirect_uri", "bad_redirect_uri":
            kind = .setup
        case _ where provider.verdicts.appFault.contains(where: { $0.code == error }): kind = .setup
        default: kind = .unknown
        }
    }
}
