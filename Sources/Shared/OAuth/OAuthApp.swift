import Catalog
import Credentials

/// The operator's client at a provider.
package struct OAuthApp: Sendable {
    package var clientID: String
    /// nil: a public client, which proves itself by PKCE alone.
    package var clientSecret: Secret?
    /// A second secret that the provider may honour instead, while one replaces the other.
    package var spare: SpareSecret?
    /// Exactly as registered at the provider.
    package var redirectURI: String
    /// Hosts that the operator pinned (`operator_host`).
    package var parameters: [String: String]
    /// What this app's settings make of the provider's replay class (Okta, Cognito, Salesforce set it per app).
    package var replay: ReplayFacts?

    package init(
        clientID: String, clientSecret: Secret?, redirectURI: String, parameters: [String: String] = [:],
        replay: ReplayFacts? = nil, spare: SpareSecret? = nil
    ) {
        self.clientID = clientID
        self.clientSecret = clientSecret
        self.redirectURI = redirectURI
        self.parameters = parameters
        self.replay = replay
        self.spare = spare
    }

    package func replay(at provider: Provider) -> ReplayFacts { replay ?? provider.replay }

    /// Values for URL templates. What the operator pinned outranks what a connection says.
    package func values(_ facts: [String: String]) -> [String: String] {
        facts.merging(parameters) { _, pinned in pinned }
    }
}
