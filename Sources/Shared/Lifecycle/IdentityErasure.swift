import Credentials
import Foundation
import Jobs
import Logging
import Postgres
import Queue
import Store

/// Erases everything that belongs to an identity: its connections are deleted at once, revoked at their providers as
/// after any deletion, and once that is proven (or patience has ended) nothing of the identity is left in the database.
package struct IdentityErasure: Sendable {
    private let services: LifecycleServices

    package init(_ services: LifecycleServices) { self.services = services }

    /// Deletes the identity's connections and forgets what needs no proof, in one transaction. Asking twice is no error.
    package func request(_ identity: Identity, environmentID: Int64, actor: String) async throws -> Erasure {
        let queue = services.queue
        let erasure = try await services.pool.transaction { db -> Erasure? in
            let living = try await Erasures.living(environmentID: environmentID, identity: identity, in: db)
            for id in living {
                guard let gone = try await Connections.requestDeletion(id: id, in: db) else { continue }
                let arguments = RevokeConnection(connection: gone.id)
                _ = try await queue.enqueue(
                    [
                        try arguments.job(
                            environmentID: environmentID, priority: .awaited, uniqueKey: arguments.uniqueKey)
                    ], in: db)
            }
            let erasure = try await Erasures.request(
                environmentID: environmentID, identity: identity, actor: actor, in: db)
            guard let erasure else { return nil }
            // The audit says that and when; whom it was about it must not.
            try await Audit.record(
                environmentID: environmentID, actor: actor, action: "erase", connectionID: nil,
                count: max(1, erasure.connections), details: Array(#"{"erasure":"\#(erasure.uid)"}"#.utf8), in: db)
            return erasure
        }
        guard let erasure else { throw MissingRow(statement: "request_erasure") }
        await queue.wakeRunners()
        return erasure
    }

    /// Erases what is left of requests whose revocations are proven; some at a time.
    /// - Returns: whether there may be more.
    package func finish() async throws -> Bool {
        for _ in 0..<20 {
            guard try await services.pool.transaction({ db in try await Erasures.finishOne(in: db) }) else {
                return false
            }
        }
        return true
    }
}
