import Catalog
import Credentials
import Egress

/// How a call to a provider ended. What each means for a connection: `docs/connection-lifecycle.md`.
package enum ProviderOutcome<Success: Sendable>: Sendable {
    case success(Success)
    /// Definite: a whole answer that says no.
    case refused(ProviderRefusal)
    /// No byte left. A value that a URL template refuses ends here as `badURL`.
    case notSent(EgressFailure)
    /// Sent, and what the provider did with it is unknown: time-out, reset, 5xx, a page instead of an answer, a cut or
    /// empty body. A refresh token may be spent.
    case ambiguous(ProviderAmbiguity)

    /// The same ending with another success.
    package func map<Other: Sendable>(_ transform: (Success) -> Other) -> ProviderOutcome<Other> {
        switch self {
        case .success(let value): .success(transform(value))
        case .refused(let refusal): .refused(refusal)
        case .notSent(let failure): .notSent(failure)
        case .ambiguous(let ambiguity): .ambiguous(ambiguity)
        }
    }
}

package struct ProviderRefusal: Sendable, Hashable {
    package let verdict: Verdict
    package let sample: AnswerSample
    /// A refresh token that stood in the refusal besides the one presented (reported of Exact Online): never drop it.
    package let foundRefreshToken: Secret?

    package init(verdict: Verdict, sample: AnswerSample, foundRefreshToken: Secret? = nil) {
        self.verdict = verdict
        self.sample = sample
        self.foundRefreshToken = foundRefreshToken
    }
}

package struct ProviderAmbiguity: Sendable, Hashable {
    /// Why no whole answer came; nil when one came that says nothing.
    package let failure: EgressFailure?
    package let sample: AnswerSample?
    package let retryAfter: Duration?
    package let foundRefreshToken: Secret?

    package init(
        failure: EgressFailure? = nil, sample: AnswerSample? = nil, retryAfter: Duration? = nil,
        foundRefreshToken: Secret? = nil
    ) {
        self.failure = failure
        self.sample = sample
        self.retryAfter = retryAfter
        self.foundRefreshToken = foundRefreshToken
    }
}

/// What an answer means: a closed list.
package enum Verdict: Sendable, Hashable {
    /// The grant (or, of a probe, the credential presented) is refused.
    case dead
    /// Refused beyond doubt: no second try.
    case certainlyRevoked
    case needsUser(NeedsUserReason)
    /// The OAuth app itself is refused.
    case appFault
    case providerTrouble(retryAfter: Duration?)
    /// Nobody has classified this answer.
    case unknown

    /// For logs, metrics and rows.
    package var name: String {
        switch self {
        case .dead: "dead"
        case .certainlyRevoked: "certainly_revoked"
        case .needsUser: "needs_user"
        case .appFault: "app_fault"
        case .providerTrouble: "provider_trouble"
        case .unknown: "unknown"
        }
    }
}

/// What may be kept of a refusal: never its body, and nothing in it that looks like a token or an address.
package struct AnswerSample: Sendable, Hashable, CustomStringConvertible {
    package let status: Int
    package let code: String?
    /// The provider's own words.
    package let text: String?
    /// The provider's own id of the call, for its support (`intuit_tid`, `x-request-id`).
    package let requestID: String?

    package init(status: Int, code: String? = nil, text: String? = nil, requestID: String? = nil) {
        self.status = status
        self.code = code
        self.text = text
        self.requestID = requestID
    }

    /// As in a log line: `400 invalid_grant "Token is not active" (request 8f3)`.
    package var description: String {
        ["\(status)", code, text.map { "\"\($0)\"" }, requestID.map { "(request \($0))" }]
            .compactMap(\.self).joined(separator: " ")
    }
}
