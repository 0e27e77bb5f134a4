import Credentials
import Foundation
import Logging
import Metrics
import OAuth
import Pacing
import Store
import Vault

extension RefreshAttempts {
    /// Keeps a refresh token that stood in an answer which was no success (reported of Exact Online): sealed, as an
    /// alternate, before the mark is cleared. It is presented when the one we hold is refused.
    ///
    /// The database is tried again for a while; the token is in no journal, so what then is not stored is lost, and said
    /// to be.
    func keep(found token: Secret?, of attempt: PreparedAttempt) async throws {
        guard let token else { return }
        let marked = attempt.marked
        var tokens = attempt.tokens
        tokens.refreshToken = token
        let nonce = UUID()
        let sealed = try await services.vault.seal(
            tokens.plaintext(),
            .alternateTokens(environmentID: marked.environmentID, uid: marked.uid, nonce: nonce))
        let backoff = Backoff(base: .milliseconds(100), cap: .seconds(2))
        for failures in 1...6 {
            do {
                _ = try await Alternates.add(
                    connectionID: marked.mark.connectionID, grantID: marked.grantID,
                    answersGeneration: marked.generation, nonce: nonce, sealed: sealed, issuedAt: marked.startedAt,
                    in: services.pool)
                Counter(label: "refresh_tokens_found_total", dimensions: [("provider", marked.provider)]).increment()
                note(marked, "a refresh token stood in a refusal and is kept", "", level: .notice)
                return
            } catch {
                guard failures < 6 else { throw error }
                try await Task.sleep(for: backoff.delay(failures: failures))
            }
        }
    }
}
