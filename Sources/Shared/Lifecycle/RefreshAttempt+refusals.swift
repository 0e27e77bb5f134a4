import Credentials
import Foundation
import OAuth
import Pacing
import Postgres
import Store

extension RefreshAttempts {
    /// The provider's first refusal makes a connection suspected; its second breaks it, unless so many are refused at
    /// once that the provider is doubted: then verdicts are held.
    /// - Parameter ofAlternate: what was refused had never been presented before, so a suspected connection's refusals
    ///   count anew.
    func refuse(
        _ attempt: PreparedAttempt, _ reason: ConnectionReason, ofAlternate: Bool
    ) async throws -> RefreshResult {
        let marked = attempt.marked
        let isRetest = marked.state == .suspected && !ofAlternate || marked.state == .broken
        // Told before anything is decided, so that the refusal that makes a wave is in it.
        let heard = await services.health.note(
            .refused(isRetest: isRetest), attempt.endpoint, at: marked.startedAt)
        if marked.state != .broken, let wave = services.health.wave(attempt.endpoint, at: marked.startedAt),
            let held = try await hold(attempt, reason, wave)
        {
            return held
        }
        // Without a look at the fleet nobody is told anything.
        if isRetest, marked.state != .broken, !heard.isTold {
            return try await suspect(marked, reason, testIn: services.timings.confirmAfter)
        }
        if isRetest {
            let result = try await end(marked, .broken, reason)
            try await HeldVerdicts.forget(connectionID: marked.mark.connectionID, in: services.pool)
            return result
        }
        return try await suspect(
            marked, reason, testIn: reason == .rotationLost ? .zero : services.timings.confirmAfter)
    }

    private func suspect(
        _ marked: MarkedAttempt, _ reason: ConnectionReason, testIn wait: Duration
    ) async throws -> RefreshResult {
        try await refuse(marked, AttemptEnding(state: .suspected, reason: reason, nextAttemptIn: wait), reason)
    }

    /// Holds the verdict until the wave decides. Nil when it has been held for as long as one may be.
    private func hold(
        _ attempt: PreparedAttempt, _ reason: ConnectionReason,
        _ wave: (key: TokenHostKey, decision: Date)
    ) async throws -> RefreshResult? {
        let marked = attempt.marked
        let settings = services.health.settings
        let ended: Bool? = try await services.pool.transaction { transaction in
            let (since, now) = try await HeldVerdicts.hold(
                connectionID: marked.mark.connectionID, grantID: marked.grantID, key: wave.key,
                memory: settings.waveHold * 2, in: transaction)
            if now.timeIntervalSince(since) >= settings.waveDecision.seconds { return nil }
            // An open ambiguity waits for nobody: a window may be closing.
            let wait =
                marked.ambiguousSince != nil
                ? services.timings.backoff.delay(failures: marked.failures + 1)
                : Self.wait(
                    from: min(wave.decision, since.addingTimeInterval(settings.waveDecision.seconds)),
                    over: settings.waveDecisionSpread, at: now)
            return try await Attempts.end(
                marked.mark, grantID: marked.grantID, generation: marked.generation,
                as: AttemptEnding(state: .suspected, reason: reason, nextAttemptIn: wait), in: transaction)
        }
        guard let ended else { return nil }
        return ended ? .refused(.suspected, reason) : .notMarked
    }

    private static func wait(from: Date, over spread: Duration, at now: Date) -> Duration {
        .seconds(max(0, from.timeIntervalSince(now)) + spread.seconds * Double.random(in: 0...1))
    }

    /// A whole answer of sense: the endpoint works.
    func noteAnswer(_ attempt: PreparedAttempt) async {
        _ = await services.health.note(.answered, attempt.endpoint, at: attempt.marked.startedAt)
    }
}
