import Credentials
import Metrics
import Pacing
import Store

extension RefreshAttempts {
    /// A provider, OAuth app or grant that may not be asked now: the mark goes, nothing else changes, and the connection
    /// comes due when there may be room. Nil: there was.
    func limited(_ attempt: PreparedAttempt, isAdmitted: Bool) async throws -> RefreshResult? {
        let marked = attempt.marked
        let planning = try OAuthAppSettings(json: attempt.appAtMark.parameters).planning
        guard
            let wait = try await services.limits.hold(
                marked, provider: attempt.provider, planning: planning, isAdmitted: isAdmitted)
        else { return nil }
        Counter(label: "refreshes_limited_total", dimensions: [("provider", marked.provider)]).increment()
        let ended = try await Attempts.end(
            marked.mark, grantID: marked.grantID, generation: marked.generation,
            as: AttemptEnding(state: marked.state, reason: nil, nextAttemptIn: wait, countsFailure: false),
            in: services.pool)
        return ended ? .trouble(.providerTrouble, retryIn: wait) : .notMarked
    }
}
