import Credentials

/// What a user picks in the connect window: an API, how it is reached with a credential, and how it is tested.
package struct Integration: Sendable, Identifiable {
    package enum Method: Sendable {
        /// The id of the provider that authenticates.
        case oauth2(provider: String)
        case apiKey(APIKeyForm)
    }

    /// Lower-case letters, digits and hyphens; part of connection keys.
    package let id: String
    package let title: String
    package let category: String
    /// `#rrggbb`.
    package let color: String
    /// One sentence under the title.
    package let summary: String
    package let method: Method
    /// All typed values that a user or the operator gives: the provider's and its own.
    package let parameters: [URLParameter]
    /// Scopes asked for unless the operator sets others.
    package let scopes: [String]
    /// Replaces the provider's name of the scope parameter (Slack user tokens: `user_scope`).
    package let scopeParameter: String?
    package let authorizeExtras: [String: String]
    /// Base of all API calls; nil where there is no passthrough.
    package let apiBase: URLTemplate?
    /// Sent with every API call unless the caller sets them.
    package let headers: [String: HeaderTemplate]
    package let probe: Probe?
    package let placement: CredentialPlacement
    /// Facts to keep from the probe's answer.
    package let facts: [Fact]
    package let account: AccountShape
    /// Further request headers that a caller may send up, in lower case.
    package let passthroughHeaders: [String]
    /// For the user: what to have at hand. Plain text.
    package let guide: String
    /// For the operator: where the OAuth app is made. Plain text.
    package let setup: String
    package let reach: Reach
    package let sources: [String]
    package let grade: Grade

    /// Id of its provider; nil for API keys.
    package var providerID: String? { if case .oauth2(let provider) = method { provider } else { nil } }

    /// What the connect window asks the user for.
    package var userParameters: [URLParameter] { parameters.filter { !$0.isOperators } }

    /// What the operator pins in the OAuth app.
    package var operatorParameters: [URLParameter] { parameters.filter(\.isOperators) }
}

/// A cheap call that shows whether a credential works and whose it is.
package struct Probe: Sendable {
    package let method: String
    package let url: URLTemplate
    package let headers: [String: String]
    /// Sent as JSON.
    package let body: String?
    /// Statuses that show a working credential; empty: any 2xx.
    package let aliveStatuses: [Int]
    package let successField: FieldRule?
    package let errorCode: [AnswerPath]
    package let errorDescription: [AnswerPath]
    /// Where the answer tells the granted scopes; nil: nowhere.
    package let scopes: ProbeScopes?
    /// How often it is made unless the operator says otherwise; nil: as often as the installation probes.
    package let every: Duration?
    /// What refusals mean here; a 401 that no list names is `dead`, which for OAuth means: refresh first.
    package let verdicts: VerdictTable
}

/// Granted scopes in a probe's answer.
package struct ProbeScopes: Sendable, Hashable {
    package enum Place: Sendable, Hashable {
        /// In lower case (GitHub, Slack: `x-oauth-scopes`).
        case header(String)
        case field(AnswerPath)
    }

    package let place: Place
    package let separator: String
}

/// Where the account's id and its name for people are found: the first path that leads to something. Paths begin with
/// `facts.` or `probe.`.
package struct AccountShape: Sendable, Hashable {
    package let id: [AnswerPath]
    package let label: [AnswerPath]
}
