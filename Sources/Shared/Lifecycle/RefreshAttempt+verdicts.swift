import Credentials
import Logging
import Metrics
import OAuth
import Pacing
import Postgres
import Store
import Vault

extension RefreshAttempts {
    func judge(
        _ refusal: ProviderRefusal, _ attempt: PreparedAttempt, source: TokenSource
    ) async throws -> RefreshResult {
        let marked = attempt.marked
        let mayBeOurs = marked.ambiguousSince != nil && attempt.rule.canLoseRotation
        switch refusal.verdict {
        case .certainlyRevoked:
            return try await end(marked, .broken, mayBeOurs ? .rotationLost : .revoked)
        case .needsUser:
            return try await end(marked, .broken, .needsUser)
        case .appFault:
            let ended = try await services.pool.transaction { transaction in
                _ = try await Quarantine.begin(
                    appID: attempt.appAtMark.id, reason: refusal.sample.code ?? "HTTP \(refusal.sample.status)",
                    probeIn: services.timings.quarantineProbe, in: transaction)
                return try await Attempts.end(
                    marked.mark, grantID: marked.grantID, generation: marked.generation,
                    as: AttemptEnding(
                        state: marked.state == .active ? .degraded : marked.state, reason: .appFault,
                        nextAttemptIn: services.timings.quarantineProbe, countsFailure: false),
                    in: transaction)
            }
            return ended ? .trouble(.appFault, retryIn: services.timings.quarantineProbe) : .notMarked
        case .providerTrouble(let retryAfter):
            return try await endInTrouble(marked, .providerTrouble, retryAfter: retryAfter)
        case .unknown:
            Counter(label: "answers_unclassified_total", dimensions: [("provider", marked.provider)]).increment()
            note(marked, "unclassified answer", "\(refusal.sample)", level: .warning)
            return try await endInTrouble(marked, .unclassified, retryAfter: nil)
        case .dead:
            if let result = try await tryAnother(attempt, after: source) { return result }
            if marked.state == .suspected || marked.state == .broken {
                return try await end(marked, .broken, mayBeOurs ? .rotationLost : marked.refusalReason)
            }
            let wait = mayBeOurs ? .zero : services.timings.confirmAfter
            let reason: ConnectionReason = mayBeOurs ? .rotationLost : marked.refusalReason
            return try await refuse(
                marked, AttemptEnding(state: .suspected, reason: reason, nextAttemptIn: wait), reason)
        }
    }

    /// After a refusal: the alternates, newest first, then the previous token where its class allows. Each is a send
    /// of its own under the same, renewed mark. Nil when nothing is left to present.
    func tryAnother(
        _ attempt: PreparedAttempt, after source: TokenSource
    ) async throws -> RefreshResult? {
        let marked = attempt.marked
        guard source != .previous else { return nil }
        let alternates = try await Alternates.unpresented(
            connectionID: marked.mark.connectionID, grantID: marked.grantID, in: services.pool)
        var next: (TokenSet, TokenSource)?
        if let alternate = alternates.first {
            try await Alternates.markPresented(id: alternate.id, in: services.pool)
            let opened = try await services.vault.open(
                alternate.sealed,
                .alternateTokens(environmentID: marked.environmentID, uid: marked.uid, nonce: alternate.nonce))
            next = (try TokenSet(plaintext: opened), .alternate(alternate.nonce))
        } else if let previous = marked.previousSealed, let generation = marked.previousGeneration,
            attempt.rule.allowsPrevious(issuedAt: marked.issuedAt, now: marked.startedAt)
        {
            let opened = try await services.vault.open(
                previous,
                .connectionTokens(environmentID: marked.environmentID, uid: marked.uid, generation: generation))
            let tokens = try TokenSet(plaintext: opened)
            if tokens.refreshToken != attempt.tokens.refreshToken { next = (tokens, .previous) }
        }
        guard let (tokens, nextSource) = next, tokens.refreshToken != nil else { return nil }
        let sendBy = BootInstant.now().advanced(by: services.timings.sendWithin)
        guard try await Attempts.renew(marked.mark, length: services.timings.attemptLength, in: services.pool) else {
            return .notMarked
        }
        return try await send(attempt, token: tokens, source: nextSource, sendBy: sendBy)
    }
}
