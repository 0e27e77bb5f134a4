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
            await noteAnswer(attempt)
            return try await end(marked, .broken, mayBeOurs ? .rotationLost : .revoked)
        case .needsUser:
            await noteAnswer(attempt)
            return try await end(marked, .broken, .needsUser)
        case .appFault:
            let reason = refusal.sample.code ?? "HTTP \(refusal.sample.status)"
            _ = await services.health.note(.appFault(reason: reason), attempt.endpoint, at: marked.startedAt)
            let wait = services.timings.quarantineProbe * (1 + Double.random(in: 0...1))
            return try await endInTrouble(marked, .appFault, exactly: wait, countsFailure: false)
        case .providerTrouble(let retryAfter):
            let what = EndpointOutcome.trouble("\(refusal.sample)", retryAfter: retryAfter)
            return try await endInProviderTrouble(attempt, what, retryAfter: retryAfter)
        case .unknown:
            Counter(label: "answers_unclassified_total", dimensions: [("provider", marked.provider)]).increment()
            note(marked, "unclassified answer", "\(refusal.sample)", level: .warning)
            return try await endInProviderTrouble(attempt, .unclassified(refusal.sample), reason: .unclassified)
        case .dead:
            if let result = try await tryAnother(attempt, after: source) { return result }
            var ofAlternate = false
            if case .alternate = source { ofAlternate = true }
            return try await refuse(
                attempt, mayBeOurs ? .rotationLost : marked.refusalReason, ofAlternate: ofAlternate)
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
