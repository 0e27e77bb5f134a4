/// How a grant is renewed, where it is not as in RFC 6749 §6, and what a renewal does besides.
package struct RefreshShape: Sendable, Hashable {
    package enum Method: String, Sendable, Hashable, CaseIterable {
        case get = "GET"
        case post = "POST"
    }

    /// `grant_type`; nil: none is sent.
    package let grant: String?
    /// The parameter that carries the refresh token (Instagram: `access_token`).
    package let parameter: String
    package let method: Method
    /// nil: as code exchanges are written.
    package let format: TokenRequestShape.Format?
    /// nil: as at code exchanges (Clover refreshes with the client id alone).
    package let authentication: ClientAuthentication?
    /// A refresh earlier than this after the access token's issue is refused (Exact Online 570 s, Trustpilot its whole
    /// life) or counted as an offence.
    package let notBefore: Duration?
    /// The access token in use dies with the refresh (DigitalOcean, GitLab, Monzo): calls in flight may meet a 401.
    package let endsAccessToken: Bool
    /// A refresh spends the token even when it is refused (Procore): a refusal that is no verdict on the grant leaves it
    /// unknown whether the token still lives.
    package let alwaysSpends: Bool
    package let recovery: RecoveryFacts?
    package let migration: MigrationFacts?
}

/// A second endpoint that trades a refresh token which was just refused (Clover).
package struct RecoveryFacts: Sendable, Hashable {
    package let url: URLTemplate
    package let parameter: String
    /// The header (lower case) of the refusal that offers it, with the value `true`; nil: always tried.
    package let header: String?
}

/// An endpoint that trades an endless access token of an older kind for a pair (monday).
package struct MigrationFacts: Sendable, Hashable {
    package let url: URLTemplate
    package let parameter: String
}

/// A call whose answer names what is to be revoked.
package struct RevocationLookup: Sendable, Hashable {
    package let url: URLTemplate
    package let path: AnswerPath
}

/// Providers whose signals about ended grants are understood: each signs and words them in its own way.
package enum InboundScheme: String, Sendable, Hashable, CaseIterable {
    case slack, github, shopify, pipedrive
}
