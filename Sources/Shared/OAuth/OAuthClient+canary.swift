import Catalog
import Credentials
import Egress
import Foundation
import Pacing

extension OAuthClient {
    /// Asks the token endpoint something that spends nothing: a refresh with a made-up token where the catalog allows
    /// it, else a request without credentials. The outcome is a provider's word on its endpoint, and in the first case
    /// on the OAuth app; never on a grant.
    /// - Parameter facts: of a connection, for URLs with a host or tenant of the connection's own.
    package func canary(
        provider: Provider, app: OAuthApp, facts: [String: String], timeout: Duration
    ) async -> CanaryOutcome {
        switch provider.canary {
        case .grant:
            var tokens = TokenSet(accessToken: Secret("evergrant-canary"))
            tokens.refreshToken = Secret("evergrant-canary-" + UUID().uuidString.lowercased())
            tokens.facts = facts
            switch await refresh(tokens, provider: provider, app: app, timeout: timeout) {
            case .success: return .answered
            case .refused(let refusal):
                switch refusal.verdict {
                case .appFault: return .refusesApp(refusal.sample)
                case .providerTrouble: return .trouble("\(refusal.sample)")
                case .dead, .certainlyRevoked, .needsUser, .unknown: return .answered
                }
            case .notSent(let failure): return .trouble("\(failure)")
            case .ambiguous(let ambiguity):
                return .trouble(ambiguity.sample.map { "\($0)" } ?? ambiguity.failure.map { "\($0)" } ?? "no answer")
            }
        case .bare:
            let url = provider.refreshURL ?? provider.tokenURL
            var request: EgressRequest
            do {
                request = try Self.request(
                    "GET", url, app.values(facts), reach: provider.reach, headers: [("Accept", "application/json")],
                    body: .none)
            } catch { return .trouble("\(error)") }
            request.timeout = timeout
            switch await transport.send(request) {
            case .answered(let answer) where answer.status < 500 && answer.status != 429: return .reached
            case .answered(let answer): return .trouble("\(answer.status)")
            case .notSent(let failure), .ambiguous(let failure): return .trouble("\(failure)")
            }
        }
    }
}

/// What a canary found.
package enum CanaryOutcome: Sendable, Hashable {
    /// The endpoint judged a grant: it works, and takes the OAuth app for good.
    case answered
    /// Something whole came back; of the OAuth app nothing is known.
    case reached
    case refusesApp(AnswerSample)
    case trouble(String)
}
