import Credentials

/// Who authenticates: an authorization server with its endpoints, the form of its answers, and what is known of how
/// its tokens live and die. All of it is data from a catalog file; there is no code per provider.
package struct Provider: Sendable, Identifiable {
    package let id: String
    package let name: String
    /// Typed values its URLs need.
    package let parameters: [URLParameter]
    package let authorizationURL: URLTemplate
    package let tokenURL: URLTemplate
    /// Where refreshes go; nil: to ``tokenURL``.
    package let refreshURL: URLTemplate?
    /// What its `iss` parameter must be (RFC 9207); nil: not compared.
    package let issuer: IssuerExpectation?
    package let pkce: PKCEMethod
    package let clientAuthentication: ClientAuthentication
    /// `client_id` unless the provider has its own word (TikTok: `client_key`).
    package let clientIDParameter: String
    package let clientSecretParameter: String
    package let scopeSeparator: String
    package let scopeParameter: String
    /// Parameters added to every authorization URL; they never replace a reserved one.
    package let authorizeExtras: [String: String]
    package let request: TokenRequestShape
    package let refresh: RefreshShape
    package let answer: TokenAnswerShape
    /// Facts to keep from token answers, callback parameters and ID tokens.
    package let facts: [Fact]
    package let replay: ReplayFacts
    /// How it is asked whether it works again, at no grant's cost.
    package let canary: CanaryKind
    package let verdicts: VerdictTable
    package let lifetimes: Lifetimes
    /// How often its token endpoint may be asked.
    package let limits: [RateLimit]
    /// How a grant is revoked; nil where the provider has no call for it.
    package let revocation: RevocationFacts?
    /// Whose signals about revoked grants are understood; nil: it sends none, or none that is known.
    package let inbound: InboundScheme?
    package let grants: GrantRules
    package let reach: Reach
    package let sources: [String]
    package let grade: Grade
}

/// How sure a row is: documentation read, reported by users, a client library's code, or unverified.
package enum Grade: String, Sendable, Hashable, CaseIterable {
    case documented = "D"
    case reported = "R"
    case code = "C"
    case unverified = "G"
}

/// Which addresses the URLs of one catalog file may reach.
package struct Reach: Sendable, Hashable {
    /// Networks (CIDR) allowed besides public addresses: the operator's word, in his own file.
    package let networks: [String]
    package let allowsPlainHTTP: Bool
    /// A test provider on this machine: loopback only.
    package let isSandbox: Bool

    package init(networks: [String] = [], allowsPlainHTTP: Bool = false, isSandbox: Bool = false) {
        self.networks = networks
        self.allowsPlainHTTP = allowsPlainHTTP
        self.isSandbox = isSandbox
    }
}

/// The `iss` a callback must carry.
package struct IssuerExpectation: Sendable, Hashable {
    package let value: URLTemplate
    /// Whether a callback without `iss` is refused: only for servers whose metadata promises it.
    package let isRequired: Bool
}

package enum PKCEMethod: String, Sendable, Hashable, CaseIterable {
    case s256 = "S256"
    /// Only where a source shows that the provider refuses the parameters.
    case none
}

/// How the client proves itself at token and revocation endpoints. An OAuth app without a secret is a public client
/// and sends its id alone, whatever stands here.
package enum ClientAuthentication: String, Sendable, Hashable, CaseIterable {
    /// `Authorization: Basic`, both parts form-encoded first (RFC 6749 §2.3.1).
    case basic
    /// Id and secret in the request body.
    case body
    /// The id in the body, no secret.
    case none
}

/// What happens when a refresh token is presented twice.
package struct ReplayFacts: Sendable, Hashable {
    package let replayClass: ReplayClass
    package let harm: ReplayHarm

    package init(replayClass: ReplayClass, harm: ReplayHarm) {
        self.replayClass = replayClass
        self.harm = harm
    }
}

/// At most `count` token requests in `seconds`.
package struct RateLimit: Sendable, Hashable {
    /// Whose requests are counted together.
    package enum Scope: String, Sendable, Hashable, CaseIterable {
        /// All of this installation: the provider counts by address.
        case provider
        /// Those of one OAuth app.
        case app
        /// Those of one grant.
        case grant
    }
    package let scope: Scope
    package let count: Int
    package let seconds: Int

    package init(scope: Scope, count: Int, seconds: Int) {
        self.scope = scope
        self.count = count
        self.seconds = seconds
    }
}

/// What may be sent to a token endpoint only to see whether it answers.
package enum CanaryKind: String, Sendable, Hashable, CaseIterable {
    /// A refresh with a made-up refresh token: shows also whether the OAuth app is accepted.
    case grant
    /// A bare request without credentials: where refusals are counted against the app.
    case bare
}

/// Lifetimes that answers do not tell.
package struct Lifetimes: Sendable, Hashable {
    /// Life of an access token whose answer names none; nil: it has no end.
    package let access: Duration?
    /// A refresh token unused for this long dies; zero: it is known that none does; nil: nobody knows.
    package let idle: Duration?
    /// The grant ends this long after consent, whatever we do.
    package let absolute: Duration?
}
