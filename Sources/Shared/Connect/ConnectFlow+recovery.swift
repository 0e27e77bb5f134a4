import Catalog
import Credentials
import Foundation
import Logging
import OAuth
import Postgres
import Store

extension ConnectFlow {
    /// Commits an exchange's answer out of the escrow journal of a process that died between answer and commit.
    /// May run more than once for one answer, and beside the process that wrote it: the commit is idempotent by grant.
    ///
    /// An answer whose session has come to another connection since, or has gone, is dropped: its user has connected
    /// anew. It is revoked where that spares the newer grant of the same account.
    /// - Returns: whether its grant is in use now.
    @discardableResult
    package func recover(payload: [UInt8]) async throws -> Bool {
        var answer = try await ExchangedAnswer(payload: payload, vault: vault)
        if answer.account == nil, let integration = catalog.integration(answer.integration) {
            var app: OAuthApp?
            if let id = answer.oauthAppID { app = try await oauthApp(id: id, integration: integration) }
            do throws(ConnectError) {
                let probed = try await probe(answer.tokens, integration: integration, app: app)
                answer.tokens = probed.tokens
                answer.account = probed.account
            } catch {
                // A provider that is down is no reason to lose its grant: the account stays unknown.
                guard error.code == .providerUnavailable || error.code == .timeout else { throw error }
            }
        }
        do {
            let finished = try await commit(answer, late: true)
            logger.notice(
                "exchange answer recovered from the journal",
                metadata: ["session": "\(finished.session.uid)", "connection": "\(finished.connection.publicID)"])
            return true
        } catch let error as ConnectError where error.code != .ours {
            // Of a session that is gone nobody knows any more whether the answer was committed.
            if error.code != .sessionUnknown, let integration = catalog.integration(answer.integration) {
                await giveBack(answer, integration: integration)
            }
            logger.notice(
                "exchange answer of the journal dropped",
                metadata: ["session": "\(answer.sessionUID)", "why": "\(error.code.rawValue)"])
            return false
        }
    }

    /// Removes what has ended: authorization requests, old sessions, idempotency keys; and asks for the deletion of
    /// connections that waited in vain for their finish; revokes grants that nothing came of. Bounded; run it every minute or so, anywhere.
    /// - Parameter delete: requests the deletion of one connection (Lifecycle's; revoked at the provider by a job).
    package func sweep(delete: (Int64) async throws -> Void) async throws {
        _ = try await AuthorizationRequests.prune(in: pool)
        _ = try await IdempotencyKeys.prune(in: pool)
        for id in try await ConnectSessions.unconfirmedConnections(in: pool) { try await delete(id) }
        try await sweepStrays()
        _ = try await ConnectSessions.prune(olderThan: .seconds(86_400), in: pool)
    }
}
