import Catalog
import Credentials
import OAuth

extension ConnectFlow {
    /// Asks the integration's probe whose account a fresh grant opens, and merges what calls need later.
    ///
    /// A probe that fails does not undo a grant that the provider has just issued, unless the integration cannot be
    /// used without what the probe tells.
    func probe(
        _ tokens: TokenSet, integration: Integration, app: OAuthApp?
    ) async throws(ConnectError) -> (tokens: TokenSet, account: Account?) {
        var outcome = await oauth.probe(tokens, integration: integration, app: app, timeout: limits.probeTimeout)
        if case .success = outcome {
        } else {
            outcome = await oauth.probe(tokens, integration: integration, app: app, timeout: limits.probeTimeout)
        }
        let answer: ProbeAnswer
        do throws(ConnectError) { answer = try outcome.connected(by: logger, step: "probe") } catch {
            guard integration.facts.isEmpty else { throw error }
            return (tokens, nil)
        }
        if let fault = answer.refusedFacts.first { throw ConnectError(.providerRefused, hint: fault.description) }
        var tokens = tokens
        tokens.facts.merge(answer.facts) { _, new in new }
        return (tokens, answer.account)
    }
}
