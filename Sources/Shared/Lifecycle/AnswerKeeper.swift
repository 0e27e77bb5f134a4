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
    }

    private let services: LifecycleServices

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
        if kept != nil, isEscrowed { services.journal?.settle(answer.nonce) }
        return kept
    }

    /// Commits an answer that a dead process left in its journal. Repeats change nothing.
    package func recover(_ record: EscrowRecord) async throws {
        let answer = try EscrowedAnswer(payload: record.payload)
        let tokens = try await open(answer)
        let kept = try await attemptOnce(answer, schedule: schedule(answer, tokens))
        Counter(label: "escrow_recovered_total", dimensions: [("outcome", "\(kept)")]).increment()
        services.logger.notice(
            "an answer from an abandoned journal was recovered",
            metadata: ["connection": "\(answer.connectionID)", "outcome": "\(kept)"])
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
                answer.mark, grantID: answer.grantID, generation: answer.generation, tokens: tokens,
                isFenced: services.guards.contains(.fence)),
            Audit.entry(
                environmentID: answer.environmentID, actor: services.owner, action: "refresh",
                connectionID: answer.connectionID),
        ]
        let results = try await services.pool.pipeline(batch)
        if results.first?.isEmpty == false { return .committed }
        return try await keepLosing(answer, tokens)
    }

    private func keepLosing(_ answer: EscrowedAnswer, _ tokens: NewTokenSet) async throws -> Kept {
        try await services.pool.transaction { transaction in
            guard let row = try await Connections.lock(id: answer.connectionID, in: transaction),
                row.state != .revoked, row.grantID == answer.grantID
            else { return .obsolete }
            if try await SealedCredentials.holds(tokens.sealed, connectionID: row.id, in: transaction) {
                return .committed
            }
            guard services.guards.contains(.alternates) else { return .obsolete }
            if answer.isStrict && row.state != .revoking {
                guard row.generation == answer.generation else { return .obsolete }
                let installed = try await Attempts.commitSuccessor(
                    answer.mark, grantID: answer.grantID, generation: answer.generation, tokens: tokens,
                    in: transaction)
                return installed ? .committed : .obsolete
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
            }
            return .alternate
        }
    }

    private func open(_ answer: EscrowedAnswer) async throws -> TokenSet {
        try TokenSet(
            plaintext: await services.vault.open(
                Array(answer.sealed),
                .connectionTokens(
                    environmentID: answer.environmentID, uid: answer.uid, generation: answer.generation + 1)))
    }

    private func schedule(_ answer: EscrowedAnswer, _ tokens: TokenSet) throws -> GrantSchedule {
        let integration = try services.catalog.integration(named: answer.integration)
        return GrantSchedule.make(
            tokens: tokens, issuedAt: answer.issuedAt,
            lifetimes: services.lifetimes(
                of: services.catalog.provider(answer.provider), integration: integration),
            requestedScopes: [], key: answer.uid)
    }
}
