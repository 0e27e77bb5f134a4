import Credentials

/// Why a connect step did not succeed: a closed code, words for the user, and a hint for the developer.
package struct ConnectError: Error, Sendable, Hashable, CustomStringConvertible {
    package enum Code: String, Sendable, Hashable, CaseIterable {
        /// The user pressed "cancel" or "deny" at the provider.
        case denied
        /// The session has ended by time.
        case sessionExpired = "session_expired"
        /// A connection came of this session already, or too many browsers hold it.
        case sessionUsed = "session_used"
        /// Another window of this session is being connected right now.
        case sessionBusy = "session_busy"
        /// No such session, or a token that belongs to none.
        case sessionUnknown = "session_unknown"
        /// The provider does not know the app's client, or refuses its secret.
        case wrongClient = "wrong_client"
        /// The provider does not know our redirect URI for this client.
        case wrongRedirect = "wrong_redirect"
        /// The callback's state is unknown, spent, expired, or another integration's.
        case stateMismatch = "state_mismatch"
        /// The callback came in another browser than the one that left, or the browser lost its cookie.
        case wrongBrowser = "wrong_browser"
        /// The callback names another issuer (RFC 9207).
        case wrongIssuer = "wrong_issuer"
        /// The provider could not be reached, or answered with an error of its own.
        case providerUnavailable = "provider_unavailable"
        /// The provider took too long.
        case timeout
        /// The provider refused the API key.
        case keyRefused = "key_refused"
        /// A reconnect came back with another account than the connection's.
        case accountMismatch = "account_mismatch"
        /// The app does not offer this integration.
        case notEnabled = "not_enabled"
        /// The integration is enabled, but its OAuth app is not set up.
        case setupRequired = "setup_required"
        /// The catalog has no such integration.
        case unknownIntegration = "unknown_integration"
        /// A field is missing or malformed; `field` names it.
        case invalidField = "invalid_field"
        /// The provider wants consent, an administrator or another sign-in.
        case needsUser = "needs_user"
        /// The provider refused for a reason that is none of the others.
        case providerRefused = "provider_refused"
        /// The connection to reconnect is gone.
        case connectionGone = "connection_gone"
        /// The finish code is wrong, spent or expired, or the identity is not the session's.
        case finishRefused = "finish_refused"
        /// Something at us.
        case ours = "our_trouble"
    }

    package let code: Code
    /// The integration's title, where one was chosen.
    package let integration: String?
    /// The session's public id, so that a page can lead back to it.
    package let session: String?
    /// The form field at fault.
    package let field: String?
    /// What is wrong in particular, in words fit for the user; nil: the code's own words suffice.
    package let detail: String?
    /// What the developer or operator can do.
    package let hint: String

    package init(
        _ code: Code, integration: String? = nil, session: String? = nil, field: String? = nil, detail: String? = nil,
        hint: String? = nil
    ) {
        self.code = code
        self.integration = integration
        self.session = session
        self.field = field
        self.detail = detail
        self.hint = hint ?? code.hint
    }

    /// The same, with the session it happened in.
    package func of(session: String?, integration: String? = nil) -> ConnectError {
        ConnectError(
            code, integration: self.integration ?? integration, session: self.session ?? session, field: field,
            detail: detail, hint: hint)
    }

    package var description: String { "\(code.rawValue): \(words(app: "the app").text); \(hint)" }
}
