/// A refusal at the token, revocation or introspection endpoint (RFC 6749 §5.2).
struct OAuthRefusal: Error, Sendable {
    let status: Int
    /// The `error` member.
    let code: String
    /// The `error_description` member.
    let reason: String
    let outcome: Outcome
    /// Whether `WWW-Authenticate: Basic` goes with it: it must where the client tried Basic.
    var asksForBasic = false
    /// Whole seconds of `Retry-After`.
    var retryAfter: Int?

    static func client(_ reason: String, _ credentials: ClientCredentials? = nil) -> OAuthRefusal {
        OAuthRefusal(
            status: 401, code: "invalid_client", reason: reason, outcome: .refusedClient,
            asksForBasic: credentials?.isBasic ?? false)
    }

    static func grant(_ reason: String, replay: Bool = false) -> OAuthRefusal {
        OAuthRefusal(
            status: 400, code: "invalid_grant", reason: reason, outcome: replay ? .refusedReplay : .refused)
    }

    static func early() -> OAuthRefusal {
        OAuthRefusal(
            status: 400, code: "access_denied", reason: "the access token is too young to be refreshed",
            outcome: .limited)
    }

    static func limited(retryAfter: Int) -> OAuthRefusal {
        OAuthRefusal(
            status: 429, code: "rate_limited", reason: "too many token requests of this grant", outcome: .limited,
            retryAfter: retryAfter)
    }

    static func malformed(_ code: String, _ reason: String) -> OAuthRefusal {
        OAuthRefusal(status: 400, code: code, reason: reason, outcome: .malformed)
    }
}
