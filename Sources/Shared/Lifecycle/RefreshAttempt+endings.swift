import Credentials
import Logging
import Metrics
import OAuth
import Pacing
import Store

extension RefreshAttempts {
    func end(_ marked: MarkedAttempt, _ state: ConnectionState, _ reason: ConnectionReason) async throws
        -> RefreshResult
    {
        try await refuse(marked, AttemptEnding(state: state, reason: reason, nextAttemptIn: nil), reason)
    }

    /// Harm `app`: the token is never presented again.
    func lose(_ marked: MarkedAttempt) async throws -> RefreshResult {
        try await end(marked, .broken, .rotationLost)
    }

    /// The server has changed: nothing that rotates is presented until every journal has given back what it has.
    func endHeld(_ marked: MarkedAttempt) async throws -> RefreshResult {
        services.server.suspect()
        let wait = services.timings.serverWatch * Double.random(in: 1...2)
        let ended = try await Attempts.end(
            marked.mark, grantID: marked.grantID, generation: marked.generation,
            as: AttemptEnding(state: marked.state, reason: nil, nextAttemptIn: wait, countsFailure: false),
            in: services.pool)
        return ended ? .trouble(.ourTrouble, retryIn: wait) : .notMarked
    }

    /// Ends an attempt in a state that blames the grant. A server that has just changed may lack the commit that the
    /// refusal is about: then nothing is believed.
    func refuse(_ marked: MarkedAttempt, _ ending: AttemptEnding, _ reason: ConnectionReason) async throws
        -> RefreshResult
    {
        let ended = try await Attempts.end(
            marked.mark, grantID: marked.grantID, generation: marked.generation, as: ending, in: services.pool)
        if ended { return .refused(ending.state, reason) }
        return try await services.server.isHeld(in: services.pool) ? try await endHeld(marked) : .notMarked
    }

    func endNotRefreshable(_ marked: MarkedAttempt) async throws -> RefreshResult {
        _ = try await Attempts.end(
            marked.mark, grantID: marked.grantID, generation: marked.generation,
            as: AttemptEnding(state: marked.state, reason: nil, nextAttemptIn: nil, countsFailure: false),
            in: services.pool)
        return .notRefreshable
    }

    func endInTrouble(
        _ marked: MarkedAttempt, _ reason: ConnectionReason, retryAfter: Duration? = nil, exactly: Duration? = nil,
        countsFailure: Bool = true
    ) async throws -> RefreshResult {
        let wait = exactly ?? max(retryAfter ?? .zero, services.timings.backoff.delay(failures: marked.failures + 1))
        let state: ConnectionState = marked.state == .active ? .degraded : marked.state
        let ended = try await Attempts.end(
            marked.mark, grantID: marked.grantID, generation: marked.generation,
            as: AttemptEnding(
                state: state, reason: state == .degraded ? reason : nil, nextAttemptIn: wait,
                countsFailure: countsFailure), in: services.pool)
        return ended ? .trouble(reason, retryIn: wait) : .notMarked
    }

    /// Trouble of the provider: told to the fleet, and counted as the connection's only where it is its own.
    func endInProviderTrouble(
        _ attempt: PreparedAttempt, _ outcome: EndpointOutcome, reason: ConnectionReason = .providerTrouble,
        retryAfter: Duration? = nil
    ) async throws -> RefreshResult {
        let heard = await services.health.note(outcome, attempt.endpoint, at: attempt.marked.startedAt)
        return try await endInTrouble(
            attempt.marked, reason, retryAfter: retryAfter, countsFailure: attempt.isItsOwn(heard))
    }

    func leaveOpen(
        _ attempt: PreparedAttempt, _ ambiguity: ProviderAmbiguity, countsFailure: Bool
    ) async throws -> RefreshResult {
        let marked = attempt.marked
        let hasEnded = ambiguity.sample != nil
        // Tries of an ambiguity pace themselves, whoever's the trouble is.
        let backoff = max(
            ambiguity.retryAfter ?? .zero,
            services.timings.backoff.delay(failures: max(marked.failures, marked.tries) + 1))
        // Nothing of this request is under way any more, and a repeat does no harm: an ordinary failure.
        if hasEnded && attempt.rule.replayClass == .replayable {
            return try await endInTrouble(
                marked, .providerTrouble, exactly: backoff, countsFailure: countsFailure)
        }
        let wait: Duration
        switch attempt.rule.replayClass {
        case .replayable: wait = hasEnded ? backoff : services.timings.attemptLength
        case .untilUsed:
            // No window closes: an open breaker is waited for.
            let recheck = services.health.recheck(attempt.endpoint, at: marked.startedAt) ?? .zero
            wait = max(recheck, hasEnded ? backoff : services.timings.attemptLength)
        case .windowed: wait = hasEnded ? min(backoff, attempt.rule.length / 4) : attempt.rule.length
        case .strict: wait = services.timings.attemptLength
        }
        // `strict` waits longer: recovery sees to it, and watches the mark meanwhile.
        _ = try await Attempts.leaveOpen(
            marked.mark, recoverIn: wait, countsFailure: countsFailure, in: services.pool)
        return .ambiguous
    }

    func note(_ marked: MarkedAttempt, _ what: String, _ detail: String, level: Logger.Level) {
        services.logger.log(
            level: level, "refresh: \(what)",
            metadata: [
                "connection": "\(marked.mark.connectionID)", "provider": "\(marked.provider)", "detail": "\(detail)",
            ])
    }

    func count<Success>(_ marked: MarkedAttempt, _ outcome: ProviderOutcome<Success>) {
        let name =
            switch outcome {
            case .success: "success"
            case .refused(let refusal): refusal.verdict.name
            case .notSent: "not_sent"
            case .ambiguous: "ambiguous"
            }
        Counter(label: "refreshes_total", dimensions: [("provider", marked.provider), ("outcome", name)]).increment()
    }
}
