/// How token requests are written.
package struct TokenRequestShape: Sendable, Hashable {
    /// `query`: in the URL, with an empty body (Greenhouse).
    package enum Format: String, Sendable, Hashable, CaseIterable { case form, json, query }

    package let format: Format
    package let headers: [String: String]
    /// Parameters added to code exchanges.
    package let exchangeExtras: [String: String]
    /// Parameters added to refreshes.
    package let refreshExtras: [String: String]
}

/// Where token answers keep what, and what a refusal looks like when its status is 200.
package struct TokenAnswerShape: Sendable, Hashable {
    /// Places where a token pair may stand; the first that holds an access token counts (Slack: the top, `authed_user`).
    /// The five paths that follow are relative to it.
    package let roots: [AnswerPath]
    package let accessToken: AnswerPath
    package let refreshToken: AnswerPath
    package let tokenType: AnswerPath
    /// Seconds, as number or text; 0 and below mean no end.
    package let expiresIn: AnswerPath
    /// A moment: ISO 8601, or seconds or milliseconds since 1970.
    package let expiresAt: AnswerPath?
    package let refreshExpiresIn: [AnswerPath]
    /// A moment, as ``expiresAt``.
    package let refreshExpiresAt: AnswerPath?
    /// Whether an answer without an expiry has it in the access token, a JWT (monday).
    package let readsExpiryOfJWT: Bool
    package let scope: AnswerPath
    package let scopeSeparator: String
    /// Further tokens, by the name under which they are kept; paths from the top.
    package let furtherTokens: [String: AnswerPath]
    /// Where the error code stands, first found first.
    package let errorCode: [AnswerPath]
    package let errorDescription: [AnswerPath]
    /// An answer that meets one of these is a refusal whatever its status.
    package let errorShapes: [FieldRule]
}

/// A place in a JSON answer, dots between its parts; a number indexes an array. `.` is the top.
package struct AnswerPath: Sendable, Hashable, CustomStringConvertible {
    package let parts: [String]

    package init(_ text: String) { parts = text == "." ? [] : text.split(separator: ".").map(String.init) }

    package var description: String { parts.isEmpty ? "." : parts.joined(separator: ".") }

    package static func + (left: AnswerPath, right: AnswerPath) -> AnswerPath {
        AnswerPath((left.parts + right.parts).joined(separator: "."))
    }
}

/// A condition on one field of an answer. Numbers and booleans compare by their JSON text.
package struct FieldRule: Sendable, Hashable {
    package enum Test: Sendable, Hashable {
        /// The field is there, not null, not empty, not false.
        case present
        case equals([String])
        /// The field is there and is none of these.
        case differs([String])
    }

    package let path: AnswerPath
    package let test: Test

    package init(path: AnswerPath, test: Test) {
        self.path = path
        self.test = test
    }
}

/// A value kept from an answer, because calls or people need it; never a secret.
package struct Fact: Sendable, Hashable {
    package enum Source: Sendable, Hashable {
        /// The token answer.
        case answer(AnswerPath)
        /// A parameter of the authorization callback (Intuit's `realmId`).
        case callback(String)
        /// A claim of the ID token.
        case idToken(String)
        /// The answer of the integration's probe.
        case probe(AnswerPath)
    }

    package let name: String
    package let source: Source
    package let kind: ValueKind
    /// Whether a first exchange (or probe) without it fails, because no call could be made.
    package let isRequired: Bool
}

/// How a grant is revoked at the provider.
package struct RevocationFacts: Sendable, Hashable {
    /// `none`: other parameters say which grant is meant (Stripe's account).
    package enum Token: String, Sendable, Hashable, CaseIterable { case access, refresh, none }
    package enum Format: String, Sendable, Hashable, CaseIterable { case form, json, query, none }
    /// What proves our right: the client's own credentials (as at the token endpoint, or as Basic whatever is used
    /// there), its id alone, its secret as bearer (Stripe), the access token as bearer, or nothing.
    package enum Authority: String, Sendable, Hashable, CaseIterable {
        case client, basic, bearer, none
        case clientID = "client_id"
        case secret
    }

    package let method: String
    /// May also use `{client_id}`, and `{found}` with ``lookup``.
    package let url: URLTemplate
    /// A call before it, with the access token as bearer, whose answer has the value of `{found}` (Zendesk's token id).
    package let lookup: RevocationLookup?
    /// Which token is sent; where the grant has no refresh token, the access token is.
    package let token: Token
    package let format: Format
    package let tokenParameter: String
    /// Whether `token_type_hint` is sent (RFC 7009 §2.1).
    package let sendsHint: Bool
    package let authority: Authority
    package let headers: [String: String]
    /// The header that carries the access token bare (Shopify); nil: none.
    package let tokenHeader: String?
    /// The word before the secret with ``Authority/secret``: `Bearer`, or `Client` (Square).
    package let secretScheme: String
    /// Further parameters, from facts and `{client_id}`.
    package let parameters: [String: HeaderTemplate]
    /// Statuses of success; empty: any 2xx.
    package let successStatuses: [Int]
    package let successField: FieldRule?
    /// Answers that mean that there was nothing left to revoke.
    package let alreadyGone: [AnswerMatcher]
    package let kills: RevocationReach
}

/// What a revocation ends.
package enum RevocationReach: String, Sendable, Hashable, CaseIterable {
    case token
    case grant
    /// Every grant of the same account and OAuth app.
    case account
}
