import Catalog
import Credentials
import Foundation
import Jobs
import Logging
import Metrics
import OAuth
import Pacing
import Postgres
import Queue
import Store
import Vault

/// Deletes connections: unusable at once, revoked at the provider by a retried attempt, secrets destroyed.
package struct ConnectionRevocation: Sendable {
    private let services: LifecycleServices

    package init(_ services: LifecycleServices) { self.services = services }

    /// Moves the connection to `revoking` and enqueues its revocation, in one transaction.
    /// - Returns: the connection as it stands; nil when there is none. Asking twice is no error.
    package func request(uid: UUID, environmentID: Int64, actor: String) async throws -> ConnectionRecord? {
        let record = try await services.pool.transaction { transaction -> ConnectionRecord? in
            guard let found = try await Connections.find(uid: uid, environmentID: environmentID, in: transaction) else {
                return nil
            }
            guard let gone = try await Connections.requestDeletion(id: found.id, in: transaction) else { return found }
            let arguments = RevokeConnection(connection: gone.id)
            _ = try await services.queue.enqueue(
                [
                    try arguments.job(
                        environmentID: environmentID, priority: .awaited, uniqueKey: arguments.uniqueKey)
                ], in: transaction)
            try await Audit.record(
                environmentID: environmentID, actor: actor, action: "delete", connectionID: gone.id, in: transaction)
            return gone
        }
        if record != nil { await services.queue.wakeRunners() }
        return record
    }

    /// Moves the connection to `revoking` without a job: the caller makes the first attempt itself. Should it die before,
    /// the scheduler finds the row after `claim`.
    package func begin(id: Int64, environmentID: Int64, actor: String, claim: Duration) async throws {
        try await services.pool.transaction { transaction in
            guard let gone = try await Connections.requestDeletion(id: id, in: transaction) else { return }
            try await Revocations.claim(connectionID: gone.id, for: claim, in: transaction)
            try await Audit.record(
                environmentID: environmentID, actor: actor, action: "delete", connectionID: gone.id, in: transaction)
        }
    }

    /// One attempt to revoke. The row owns the retry: an attempt that fails sets the next one.
    /// - Returns: how long until the next attempt; nil when the connection is done, or not to be revoked.
    package func attempt(connectionID: Int64) async throws -> Duration? {
        let sendBy = BootInstant.now().advanced(by: services.timings.sendWithin)
        let mark = AttemptMark(connectionID: connectionID)
        guard
            let marked = try await Attempts.mark(
                mark, kind: .revoke, owner: services.owner, generation: nil, states: [.revoking],
                length: services.timings.attemptLength, in: services.pool)
        else { return try await remaining(connectionID) }
        let result: (proof: Proof, isDone: Bool)
        do {
            result = try await revoke(marked, sendBy: sendBy)
        } catch {
            services.logger.error(
                "a connection cannot be revoked for a reason at us",
                metadata: ["connection": "\(connectionID)", "error": "\(error)"])
            result = (Proof(result: "our_trouble", status: nil, tries: marked.failures + 1), false)
        }
        let asked = try await Revocations.requestedAt(connectionID: connectionID, in: services.pool)
        let isPatienceOver =
            asked.map { -$0.timeIntervalSinceNow > services.timings.revocationPatience.seconds } ?? false
        Counter(
            label: "revocations_total", dimensions: [("provider", marked.provider), ("outcome", result.proof.result)]
        ).increment()
        if result.isDone || isPatienceOver {
            try await services.pool.transaction { transaction in
                _ = try await Revocations.finish(mark, proof: result.proof.json(), in: transaction)
                try await Audit.record(
                    environmentID: marked.environmentID, actor: services.owner, action: "revoke",
                    connectionID: connectionID, details: result.proof.json(), in: transaction)
            }
            return nil
        }
        let wait = services.timings.backoff.delay(failures: marked.failures + 1)
        _ = try await Revocations.postpone(mark, retryIn: wait, why: result.proof.json(), in: services.pool)
        return wait
    }

    private func remaining(_ connectionID: Int64) async throws -> Duration? {
        guard let row = try await Connections.find(id: connectionID, in: services.pool), row.state == .revoking else {
            return nil
        }
        // A refresh is under way; its answer will be kept and revoked as well.
        return .seconds(2)
    }

    private func revoke(_ marked: MarkedAttempt, sendBy: BootInstant) async throws -> (proof: Proof, isDone: Bool) {
        let tries = marked.failures + 1
        let integration = try services.catalog.integration(named: marked.integration)
        guard let provider = services.catalog.provider(of: integration), let appAtMark = marked.app,
            let facts = provider.revocation
        else { return (Proof(result: "unsupported", status: nil, tries: tries), true) }
        if facts.kills != .token,
            try await Revocations.livingSiblings(connectionID: marked.mark.connectionID, in: services.pool) > 0
        {
            return (Proof(result: "spared_siblings", status: nil, tries: tries), true)
        }
        let app = try await services.app(appAtMark, environmentID: marked.environmentID)
        var tokenSets = [
            try TokenSet(
                plaintext: await services.vault.open(
                    marked.sealed,
                    .connectionTokens(
                        environmentID: marked.environmentID, uid: marked.uid, generation: marked.generation)))
        ]
        for alternate in try await Alternates.unpresented(
            connectionID: marked.mark.connectionID, grantID: marked.grantID, in: services.pool)
        {
            tokenSets.append(
                try TokenSet(
                    plaintext: await services.vault.open(
                        alternate.sealed,
                        .alternateTokens(
                            environmentID: marked.environmentID, uid: marked.uid, nonce: alternate.nonce))))
        }
        var last = Proof(result: "nothing_to_revoke", status: nil, tries: tries)
        for tokens in tokenSets {
            let by = tokens == tokenSets[0] ? sendBy : nil
            switch await services.oauth.revoke(
                tokens, provider: provider, app: app, sendBy: by, timeout: services.timings.requestTimeout)
            {
            case .success(let proof): last = Proof(result: "\(proof.result)", status: proof.status, tries: tries)
            case .refused(let refusal):
                switch refusal.verdict {
                case .dead, .certainlyRevoked:
                    last = Proof(result: "alreadyGone", status: refusal.sample.status, tries: tries)
                default: return (Proof(result: "refused", status: refusal.sample.status, tries: tries), false)
                }
            case .notSent: return (Proof(result: "not_sent", status: nil, tries: tries), false)
            case .ambiguous(let ambiguity):
                return (Proof(result: "unknown", status: ambiguity.sample?.status, tries: tries), false)
            }
        }
        return (last, true)
    }

    /// What is kept of a revocation after its secrets are gone.
    private struct Proof: Encodable, Sendable {
        let result: String
        let status: Int?
        let tries: Int
        var at = Date()

        func json() throws -> [UInt8] {
            let encoder = JSONEncoder()
            encoder.dateEncodingStrategy = .iso8601
            return Array(try encoder.encode(self))
        }
    }
}
