import Catalog
import Credentials
import Egress
import Escrow
import Foundation
import Logging
import Metrics
import OAuth
import Pacing
import Postgres
import Store
import Vault

// One attempt, step by step (`docs/architecture.md` tells it as a story):
//
//   1 mark      one committed UPDATE: the fleet-wide single flight. The sender's clock was taken before it.
//   2 intent    a line in the escrow journal, for all but `replayable`
//   3 send      once; refused later than `sendWithin` after the clock was taken
//   4 outcome   not sent: mark cleared · refused: verdict · ambiguous: the mark stays, recovery decides
//   5 keep      escrow, then commit, fenced by grant, generation and nonce
//
// What can go wrong at each step, and who mends it:
//   killed after 1 or 2   the deadline passes; recovery takes the mark over (strict: after the wait)
//   killed in 3           the same; the generation is ambiguous from then on
//   killed in 5           the journal has the answer; the next process of this journal commits it
//   database gone in 5    the answer is held and tried again; the journal has it too
//   taken for dead in 5   the commit carries its own fence and leaves out the job's settling

/// How an attempt ended.
package enum RefreshResult: Sendable, Equatable {
    /// A newer token set is committed, or kept for a refusal.
    case refreshed
    /// Another attempt is open, the generation has moved, or the state allows none.
    case notMarked
    /// The provider refused the grant.
    case refused(ConnectionState, ConnectionReason)
    /// Trouble at the provider or at us; tried again in so long.
    case trouble(ConnectionReason, retryIn: Duration)
    /// The answer is unknown; recovery decides.
    case ambiguous
    /// There is nothing to refresh with.
    case notRefreshable
}

/// Makes attempts to refresh.
package struct RefreshAttempts: Sendable {
    let services: LifecycleServices
    let keeper: AnswerKeeper

    package init(_ services: LifecycleServices) {
        self.services = services
        keeper = AnswerKeeper(services)
    }

    /// Marks the connection and refreshes it.
    /// - Parameters:
    ///   - generation: only when the connection still has it; nil for whatever it has.
    ///   - reopens: an alternate arrived, so the attempt may begin in `broken`.
    ///   - isAdmitted: a job that its limit keys have let through; everybody else takes from the same limits here.
    ///   - isCanary: it is to find out whether a trouble of the provider is over, so the trouble does not stop it. Only
    ///     where the refresh token stays good.
    package func refresh(
        connectionID: Int64, generation: Int64?, reopens: Bool = false, isAdmitted: Bool = false,
        isCanary: Bool = false
    ) async throws -> RefreshResult {
        let sendBy = BootInstant.now().advanced(by: services.timings.sendWithin)
        var states: [ConnectionState] = [.active, .degraded, .suspected]
        if reopens { states.append(.broken) }
        guard
            let marked = try await Attempts.mark(
                AttemptMark(connectionID: connectionID), kind: .refresh, owner: services.owner, generation: generation,
                states: states, length: services.timings.attemptLength, known: services.server.known,
                in: services.marks)
        else { return .notMarked }
        return try await perform(
            marked, sendBy: sendBy, waitIsOver: false, isAdmitted: isAdmitted, isCanary: isCanary)
    }

    /// Recovers an attempt that is open past its deadline, as its replay class allows.
    package func recover(connectionID: Int64, nonce: UUID) async throws
        -> RefreshResult
    {
        let sendBy = BootInstant.now().advanced(by: services.timings.sendWithin)
        guard
            let open = try await Attempts.openPastDeadline(
                limit: 1, connectionID: connectionID, in: services.pool
            ).first, open.nonce == nonce
        else { return .notMarked }
        if open.state == .revoking || open.kind != AttemptKind.refresh.rawValue {
            try await Revocations.releaseMark(connectionID: connectionID, nonce: nonce, in: services.pool)
            return .notMarked
        }
        let rule = try services.rule(of: open)
        if rule?.replayClass != .replayable, try await services.server.isHeld(in: services.pool) {
            return .ambiguous
        }
        let decision = try services.recoveryDecision(open)
        if case .wait(let until) = decision {
            _ = try await Attempts.leaveOpen(
                AttemptMark(connectionID: connectionID, nonce: nonce),
                recoverIn: .seconds(max(1, until.timeIntervalSince(open.now))), in: services.pool)
            return .ambiguous
        }
        guard
            let marked = try await Attempts.takeOver(
                from: nonce, as: AttemptMark(connectionID: connectionID), owner: services.owner,
                length: services.timings.attemptLength, in: services.pool)
        else { return .notMarked }
        if decision == .giveUp { return try await lose(marked) }
        Counter(label: "attempts_recovered_total", dimensions: [("provider", marked.provider)]).increment()
        return try await perform(marked, sendBy: sendBy, waitIsOver: true)
    }

    // MARK: Steps

    private func perform(
        _ marked: MarkedAttempt, sendBy: BootInstant, waitIsOver: Bool, isAdmitted: Bool = false,
        isCanary: Bool = false
    ) async throws -> RefreshResult {
        var attempt: PreparedAttempt
        do {
            guard let prepared = try await prepare(marked) else { return try await endNotRefreshable(marked) }
            attempt = prepared
        } catch let error as PostgresError {
            throw error
        } catch {
            services.logger.error(
                "a connection cannot be refreshed for a reason at us",
                metadata: ["connection": "\(marked.mark.connectionID)", "error": "\(error)"])
            return try await endInTrouble(marked, .ourTrouble, retryAfter: nil)
        }
        if marked.isHeld && attempt.rule.replayClass != .replayable { return try await endHeld(marked) }
        // A closing window and an open ambiguity wait for nobody's trouble.
        let mustGo =
            isCanary || attempt.rule.replayClass != .replayable && (waitIsOver || marked.ambiguousSince != nil)
        if !mustGo {
            switch try await services.health.admit(
                attempt.endpoint, at: marked.startedAt, suspendedSince: attempt.appAtMark.suspendedAt)
            {
            case .send: break
            case .trial: attempt.isTrial = true
            case .wait(let reason, let wait):
                return try await endInTrouble(marked, reason, exactly: wait, countsFailure: false)
            }
        }
        if let early = try await endTooEarly(attempt) { return early }
        if let held = try await limited(attempt, isAdmitted: isAdmitted) { return held }
        if !waitIsOver, let since = marked.ambiguousSince {
            let decision = attempt.rule.decide(
                ambiguousSince: since, lastStart: since, accessExpiresAt: marked.accessExpiresAt, now: marked.startedAt)
            switch decision {
            case .present: break
            case .giveUp: return try await lose(marked)
            case .wait(let until):
                let wait = Duration.seconds(until.timeIntervalSince(marked.startedAt))
                return try await endInTrouble(marked, .providerTrouble, exactly: wait)
            }
        }
        return try await send(attempt, token: attempt.tokens, source: .current, sendBy: sendBy)
    }

    private func prepare(_ marked: MarkedAttempt) async throws -> PreparedAttempt? {
        let integration = try services.catalog.integration(named: marked.integration)
        guard let provider = services.catalog.provider(of: integration), let appAtMark = marked.app else { return nil }
        let tokens = try TokenSet(
            plaintext: await services.vault.open(
                marked.sealed,
                .connectionTokens(
                    environmentID: marked.environmentID, uid: marked.uid, generation: marked.generation)))
        guard tokens.refreshToken != nil || provider.refresh.migration != nil else { return nil }
        let app = try await services.app(appAtMark, environmentID: marked.environmentID)
        return PreparedAttempt(
            marked: marked, integration: integration, provider: provider, appAtMark: appAtMark, app: app,
            tokens: tokens, rule: try services.rule(provider: provider, appParameters: appAtMark.parameters),
            endpoint: TokenEndpoint(
                appID: appAtMark.id, provider: provider, app: app, facts: tokens.facts,
                connectionID: marked.mark.connectionID))
    }

    func send(
        _ attempt: PreparedAttempt, token: TokenSet, source: TokenSource, sendBy: BootInstant
    ) async throws -> RefreshResult {
        let marked = attempt.marked
        if attempt.rule.replayClass.isEscrowed, let journal = services.journal {
            do {
                var alternate: UUID?
                if case .alternate(let nonce) = source { alternate = nonce }
                try await journal.append(
                    .intent, key: marked.mark.nonce,
                    payload: EscrowedIntent(marked, alternate: alternate).payload())
            } catch {
                services.logger.critical(
                    "an intent could not be written; nothing is sent", metadata: ["error": "\(error)"])
                return try await endInTrouble(marked, .ourTrouble, retryAfter: nil)
            }
        }
        let timeout = min(services.timings.requestTimeout, attempt.rule.length)
        let outcome = await services.oauth.refresh(
            token, provider: attempt.provider, app: attempt.app, startedAt: marked.startedAt, sendBy: sendBy,
            timeout: timeout)
        count(marked, outcome)
        switch outcome {
        case .success(let issued):
            return try await keep(issued, attempt)
        case .notSent(let failure):
            services.journal?.settle(marked.mark.nonce, as: .noUse)
            let isOurs = failure.code == .addressRefused || failure.code == .badURL
            note(marked, "not sent", "\(failure)", level: isOurs ? .error : .info)
            if isOurs { return try await endInTrouble(marked, .ourTrouble, retryAfter: nil) }
            return try await endInProviderTrouble(attempt, .trouble("not sent: \(failure.code.rawValue)"))
        case .refused(let refusal):
            try await keep(found: refusal.foundRefreshToken, of: attempt)
            services.journal?.settle(marked.mark.nonce, as: .noUse)
            note(marked, "refused", "\(refusal.sample)", level: .info)
            return try await judge(refusal, attempt, source: source)
        case .ambiguous(let ambiguity):
            try await keep(found: ambiguity.foundRefreshToken, of: attempt)
            note(marked, "ambiguous", "\(ambiguity)", level: .warning)
            let what = ambiguity.sample.map { "no answer of sense: \($0)" } ?? ambiguity.failure?.code.rawValue
            let heard = await services.health.note(
                .trouble(what ?? "no answer", retryAfter: ambiguity.retryAfter), attempt.endpoint,
                at: marked.startedAt)
            return try await leaveOpen(attempt, ambiguity, countsFailure: attempt.isItsOwn(heard))
        }
    }

    private func keep(
        _ issued: IssuedTokens, _ attempt: PreparedAttempt
    ) async throws -> RefreshResult {
        let marked = attempt.marked
        var schedule = GrantSchedule.make(
            tokens: issued.tokens, issuedAt: marked.startedAt,
            lifetimes: services.lifetimes(
                of: attempt.provider, integration: attempt.integration,
                app: try OAuthAppSettings(json: attempt.appAtMark.parameters).planning),
            requestedScopes: [], key: marked.uid)
        schedule.wait(attempt.provider.refresh.notBefore)
        // A late first request may have killed the token just received: once more while the window has room.
        if case .windowed = attempt.rule.replayClass, marked.ambiguousSince != nil {
            schedule.makeDue(at: marked.startedAt)
        }
        if issued.tokens.refreshExpiresAt == nil { schedule.keepEnd() }
        let sealed = try await services.vault.seal(
            issued.tokens.plaintext(),
            .connectionTokens(
                environmentID: marked.environmentID, uid: marked.uid, generation: marked.generation + 1))
        let kept = await keeper.keep(
            EscrowedAnswer(marked, isStrict: attempt.rule.replayClass == .strict, sealed: sealed), schedule: schedule,
            isEscrowed: attempt.rule.replayClass.isEscrowed)
        _ = await services.health.note(
            .served(isRetest: marked.state == .suspected), attempt.endpoint, at: marked.startedAt)
        if marked.state == .suspected {
            try await HeldVerdicts.forget(connectionID: marked.mark.connectionID, in: services.pool)
        }
        return kept == nil ? .ambiguous : .refreshed
    }
}

extension LifecycleServices {
    /// The replay rule of an open attempt's provider; nil when the catalog does not know it.
    func rule(of open: OpenAttempt) throws -> ReplayRule? {
        try catalog.provider(open.provider).map { try rule(provider: $0, appParameters: open.appParameters) }
    }

    /// What may be done about an attempt that is open past its deadline.
    package func recoveryDecision(_ open: OpenAttempt) throws -> ReplayRule.Decision {
        guard let rule = try rule(of: open) else {
            return .wait(until: open.now.addingTimeInterval(timings.attemptLength.seconds))
        }
        return rule.decide(
            ambiguousSince: open.ambiguousSince ?? open.startedAt, lastStart: open.startedAt,
            accessExpiresAt: open.accessExpiresAt, now: open.now)
    }
}
