import Catalog
import Credentials
import Foundation
import Pacing
import Store

extension RefreshAttempts {
    /// Ends an attempt that the provider would refuse as too early (Exact Online counts such refusals, Trustpilot answers
    /// 429): nothing is sent, no failure is counted, and the connection is due when the time has come.
    /// - Returns: nil when the attempt may go on.
    func endTooEarly(_ attempt: PreparedAttempt) async throws -> RefreshResult? {
        let marked = attempt.marked
        // Where the access token in use, or an answer, may be lost, its age says nothing.
        guard let notBefore = attempt.provider.refresh.notBefore, marked.ambiguousSince == nil,
            marked.state == .active || marked.state == .degraded
        else { return nil }
        let wait = Duration.seconds(
            marked.issuedAt.addingTimeInterval(notBefore.seconds).timeIntervalSince(marked.startedAt))
        guard wait > .zero else { return nil }
        let ended = try await Attempts.end(
            marked.mark, grantID: marked.grantID, generation: marked.generation,
            as: AttemptEnding(state: marked.state, reason: nil, nextAttemptIn: wait, countsFailure: false),
            in: services.pool)
        return ended ? .trouble(.providerTrouble, retryIn: wait) : .notMarked
    }
}
