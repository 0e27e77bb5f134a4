import Catalog
import Credentials
import Escrow
import Foundation
import Jobs
import Logging
import Metrics
import Pacing
import Postgres
import Queue
import Store
import Vault

/// Brings a provider's answer into the database, whatever happens in between. No answer is thrown away while its grant
/// lives: it is committed, or kept as an alternate, or known to be an ancestor of what is there.
package struct AnswerKeeper: Sendable {
    /// What became of an answer.
    package enum Kept: Sendable, Equatable {
        case committed
        /// It lost its compare-and-set and is kept for a refusal.
        case alternate
        /// Its grant is gone, or the row holds a successor of it.
        case obsolete

        /// As the journal writes it.
        package var settlement: EscrowSettlement {
            switch self {
            case .committed: .committed
            case .alternate: .alternate
            case .obsolete: .noUse
            }
        }
    }

    let services: LifecycleServices

    package init(_ services: LifecycleServices) { self.services = services }

    /// Escrows and commits an answer. The commit has a fence of its own (grant, generation, nonce), so it needs no job and
    /// no lease: a worker that was taken for dead commits all the same, and its job's second run finds the generation
    /// moved. That is why jobs of the lifecycle settle in the queue's micro-batches: 1.5 times the refreshes a second
    /// (`docs/performance.md`).
    /// - Parameter schedule: as planned from the token set.
    func keep(
        _ answer: EscrowedAnswer, schedule: GrantSchedule, isEscrowed: Bool
    ) async -> Kept? {
        if isEscrowed, let journal = services.journal {
            do {
                try await journal.append(.refreshAnswer, key: answer.nonce, payload: answer.payload())
            } catch {
                services.logger.critical(
                    "an answer could not be escrowed; committing it at once",
                    metadata: ["connection": "\(answer.connectionID)", "error": "\(error)"])
            }
        }
        let kept = await persist(answer, schedule: schedule)
        if let kept, isEscrowed { services.journal?.settle(answer.nonce, as: kept.settlement) }
        return kept
    }

    /// Commits an answer that a dead process left in its journal. Repeats change nothing.
    @discardableResult
    package func recover(_ record: EscrowRecord) async throws -> Kept {
        let answer = try EscrowedAnswer(payload: record.payload)
        let tokens = try await open(answer)
        let kept = try await attemptOnce(answer, schedule: schedule(answer, tokens))
        Counter(label: "escrow_recovered_total", dimensions: [("outcome", "\(kept)")]).increment()
        services.logger.notice(
            "an answer from an abandoned journal was recovered",
            metadata: ["connection": "\(answer.connectionID)", "outcome": "\(kept)"])
        return kept
    }

    /// Tries until the database has it or the process is told to stop; then the journal has it.
    private func persist(_ answer: EscrowedAnswer, schedule: GrantSchedule) async -> Kept? {
        let backoff = Backoff(base: .milliseconds(100), cap: .seconds(3))
        var failures = 0
        while true {
            do {
                return try await attemptOnce(answer, schedule: schedule)
            } catch {
                failures += 1
                if failures == 1 || failures % 20 == 0 {
                    services.logger.error(
                        "an answer waits for the database",
                        metadata: [
                            "connection": "\(answer.connectionID)", "tries": "\(failures)", "error": "\(error)",
                        ])
                }
                do { try await Task.sleep(for: backoff.delay(failures: failures)) } catch { return nil }
            }
        }
    }

    private func attemptOnce(
        _ answer: EscrowedAnswer, schedule: GrantSchedule
    ) async throws -> Kept {
        let tokens = NewTokenSet(sealed: Array(answer.sealed), schedule: schedule)
        let batch = [
            Attempts.commitStatement(
                answer.mark, grantID: answer.grantID, generation: answer.generation, tokens: tokens),
            Audit.entry(
                environmentID: answer.environmentID, actor: services.owner, action: "refresh",
                connectionID: answer.connectionID),
        ]
        let results = try await services.commits.pipeline(batch)
        if results.first?.isEmpty == false { return .committed }
        return try await keepLosing(answer, tokens)
    }

    private func keepLosing(_ answer: EscrowedAnswer, _ tokens: NewTokenSet) async throws -> Kept {
        try await services.pool.transaction { transaction in
            try await reconcile(answer, tokens, settled: nil, wasPresented: false, in: transaction)
        }
    }

    /// Gives an answer its place by its generation, whatever nonce or state the row has:
    ///
    /// - ahead of the row (a change of server lost the commits between): installed;
    /// - to the row's own generation: installed where a token has one successor (`strict`) or where it was committed
    ///   before a change of server, else an alternate;
    /// - behind the row: an ancestor of what is there, unless it never became the token set and was never presented:
    ///   then an alternate (not in `strict`).
    ///
    /// - Parameters:
    ///   - settled: what the journal says became of it; nil when that is open.
    ///   - wasPresented: as an alternate, so that it is none any more.
    func reconcile(
        _ answer: EscrowedAnswer, _ tokens: NewTokenSet, settled: EscrowSettlement?, wasPresented: Bool,
        in transaction: any PostgresQuerying
    ) async throws -> Kept {
        guard let row = try await Connections.lock(id: answer.connectionID, in: transaction),
            row.state != .revoked, row.grantID == answer.grantID
        else { return .obsolete }
        if try await SealedCredentials.holds(tokens.sealed, connectionID: row.id, in: transaction) {
            return .committed
        }
        let isAhead = answer.generation > row.generation
        let isNext = answer.generation == row.generation
        if row.state != .revoking, isAhead || isNext && (answer.isStrict || settled == .committed) {
            let installed = try await Attempts.commitSuccessor(
                answer.mark, grantID: answer.grantID, generation: answer.generation, tokens: tokens, in: transaction)
            return installed ? .committed : .obsolete
        }
        if row.state != .revoking {
            guard !answer.isStrict, settled != .committed, !wasPresented else { return .obsolete }
        }
        let resealed = try await services.vault.seal(
            open(answer).plaintext(),
            .alternateTokens(environmentID: answer.environmentID, uid: answer.uid, nonce: answer.nonce))
        let isNew = try await Alternates.add(
            connectionID: row.id, grantID: row.grantID, answersGeneration: answer.generation, nonce: answer.nonce,
            sealed: resealed, issuedAt: answer.issuedAt, in: transaction)
        if isNew && (row.state == .suspected || row.state == .broken) {
            let arguments = RefreshConnection(connection: row.id, generation: row.generation, reopens: true)
            _ = try await services.queue.enqueue(
                [arguments.job(environmentID: row.environmentID, priority: .closing)], in: transaction)
            try await Alternates.hasten(connectionID: row.id, in: transaction)
        }
        return .alternate
    }

    func open(_ answer: EscrowedAnswer) async throws -> TokenSet {
        try TokenSet(
            plaintext: await services.vault.open(
                Array(answer.sealed),
                .connectionTokens(
                    environmentID: answer.environmentID, uid: answer.uid, generation: answer.generation + 1)))
    }

    func schedule(_ answer: EscrowedAnswer, _ tokens: TokenSet) throws -> GrantSchedule {
        let integration = try services.catalog.integration(named: answer.integration)
        let provider = services.catalog.provider(answer.provider)
        var schedule = GrantSchedule.make(
            tokens: tokens, issuedAt: answer.issuedAt,
            lifetimes: services.lifetimes(of: provider, integration: integration), requestedScopes: [],
            key: answer.uid)
        schedule.wait(provider?.refresh.notBefore)
        if tokens.refreshExpiresAt == nil { schedule.keepEnd() }
        return schedule
    }
}
