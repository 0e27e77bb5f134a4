import Catalog
import Credentials
import Foundation
import Logging
import OAuth
import Pacing
import Postgres
import Store
import Synchronization
import Vault

/// A credential that may be used now.
package struct UsableCredential: Sendable {
    package let connection: ConnectionRecord
    package let tokens: TokenSet
    package var generation: Int64 { connection.generation }
}

/// Why a connection's credential cannot be used.
package struct CredentialError: Error, Sendable, CustomStringConvertible {
    package enum Code: String, Sendable {
        case unknownConnection = "unknown_connection"
        case pending = "connection_pending"
        case broken = "connection_broken"
        case deleted = "connection_deleted"
        /// The access token has ended and could not be refreshed yet.
        case refreshFailed = "refresh_failed"
    }
    package let code: Code
    package let description: String
    /// When it may work; nil when only a person can repair it.
    package let retryAfter: Duration?
}

/// Gives out credentials that are alive: refreshes what has ended or was refused, once, however many ask.
///
/// Callers of one process share one flight; processes share the mark on the row. A caller that goes away does not stop
/// the flight others wait for, so a flight is a task of its own; ``drain()`` waits for all of them at shutdown.
package final class CredentialRefresher: Sendable {
    private let services: LifecycleServices
    private let attempts: RefreshAttempts
    private let flights = Mutex<[Int64: Task<RefreshResult, any Error>]>([:])

    package init(_ services: LifecycleServices) {
        self.services = services
        attempts = RefreshAttempts(services)
    }

    /// The credential of a connection, refreshed first when its access token has ended or is about to.
    package func credential(uid: UUID, environmentID: Int64) async throws -> UsableCredential {
        let current = try await load(uid: uid, environmentID: environmentID)
        guard needsRefresh(current) else { return current }
        return try await refreshed(current)
    }

    /// The credential after the provider's API refused `used` with 401: whatever is newer, or one refresh.
    /// - Returns: nil when there is nothing newer to try (the connection has no refresh token, or the refresh failed);
    ///   the 401 then goes to the caller.
    package func credential(afterRejectionOf used: UsableCredential) async throws -> UsableCredential? {
        let current = try await load(uid: used.connection.uid, environmentID: used.connection.environmentID)
        if current.generation > used.generation { return current }
        let provider = services.catalog.provider(current.connection.provider)
        guard current.tokens.refreshToken != nil || provider?.refresh.migration != nil else { return nil }
        do {
            let newer = try await refreshed(current, isForced: true)
            return newer.generation > used.generation ? newer : nil
        } catch is CredentialError {
            return nil
        }
    }

    /// One refresh now, whatever the expiry; for `POST …/refresh` and the CLI.
    package func refreshNow(uid: UUID, environmentID: Int64) async throws -> UsableCredential {
        let current = try await load(uid: uid, environmentID: environmentID)
        return try await refreshed(current, isForced: true, failsInTrouble: true)
    }

    /// Waits for the flights that are under way.
    package func drain() async {
        let open = flights.withLock { Array($0.values) }
        for flight in open { _ = try? await flight.value }
    }

    // MARK: Steps

    private func load(uid: UUID, environmentID: Int64) async throws -> UsableCredential {
        for _ in 0..<3 {
            guard
                let (record, sealed) = try await Connections.findWithCredential(
                    uid: uid, environmentID: environmentID, in: services.pool)
            else {
                throw CredentialError(
                    code: .unknownConnection, description: "there is no such connection in this environment",
                    retryAfter: nil)
            }
            try refuseUnusable(record)
            guard let sealed else { continue }  // a refresh committed in between
            let opened = try await services.vault.open(
                sealed,
                .connectionTokens(environmentID: environmentID, uid: uid, generation: record.generation))
            return UsableCredential(connection: record, tokens: try TokenSet(plaintext: opened))
        }
        throw CredentialError(
            code: .refreshFailed, description: "the connection's credential is changing; try again",
            retryAfter: .seconds(1))
    }

    private func refuseUnusable(_ record: ConnectionRecord) throws(CredentialError) {
        switch record.state {
        case .active, .degraded, .suspected: return
        case .pending:
            throw CredentialError(
                code: .pending, description: "the connection waits for the app's finish call", retryAfter: nil)
        case .broken:
            throw CredentialError(
                code: .broken,
                description:
                    "the connection is broken (\(record.reason?.rawValue ?? "unknown")); ask its user to reconnect",
                retryAfter: nil)
        case .revoking, .revoked:
            throw CredentialError(code: .deleted, description: "the connection was deleted", retryAfter: nil)
        }
    }

    private func needsRefresh(_ credential: UsableCredential) -> Bool {
        guard credential.tokens.refreshToken != nil, let expiresAt = credential.connection.accessExpiresAt else {
            return false
        }
        let life = expiresAt.timeIntervalSince(credential.connection.accessIssuedAt ?? expiresAt)
        let margin = min(services.timings.expiryMargin.seconds, max(0, life) / 10)
        return expiresAt.timeIntervalSinceNow < margin
    }

    private func isAlive(_ credential: UsableCredential) -> Bool {
        credential.connection.accessExpiresAt.map { $0.timeIntervalSinceNow > 0 } ?? true
    }

    private func refreshed(
        _ current: UsableCredential, isForced: Bool = false, failsInTrouble: Bool = false
    ) async throws -> UsableCredential {
        let connection = current.connection
        if !isForced, let next = connection.nextAttemptAt, next.timeIntervalSinceNow > 0 {
            if isAlive(current) { return current }
            throw notYet(connection, .seconds(next.timeIntervalSinceNow))
        }
        let deadline = BootInstant.now().advanced(by: services.timings.callerPatience)
        var result = try await fly(connection)
        while true {
            switch result {
            case .refreshed:
                return try await load(uid: connection.uid, environmentID: connection.environmentID)
            case .notMarked, .ambiguous:
                // Somebody else's attempt is open, or the generation has moved: wait for the outcome.
                let now = try await load(uid: connection.uid, environmentID: connection.environmentID)
                if now.generation > current.generation { return now }
                if now.connection.attemptNonce != nil || result == .ambiguous {
                    if BootInstant.now() > deadline {
                        if isAlive(now) && !isForced { return now }
                        throw notYet(connection, .seconds(5))
                    }
                    try await Task.sleep(for: .milliseconds(25))
                    if result == .ambiguous { result = .notMarked }
                    continue
                }
                if now.connection.state == .suspected, let next = now.connection.nextAttemptAt {
                    if isAlive(now) && !isForced { return now }
                    throw notYet(connection, .seconds(next.timeIntervalSinceNow))
                }
                if BootInstant.now() > deadline { throw notYet(connection, .seconds(1)) }
                try await Task.sleep(for: .milliseconds(25))
                result = try await fly(now.connection)
            case .refused(let state, let reason):
                if state == .suspected && isAlive(current) && !isForced { return current }
                if state == .suspected { throw notYet(connection, services.timings.confirmAfter) }
                throw CredentialError(
                    code: .broken,
                    description: "the connection is broken (\(reason.rawValue)); ask its user to reconnect",
                    retryAfter: nil)
            case .trouble(_, let wait):
                if isAlive(current) && !isForced && !failsInTrouble { return current }
                throw notYet(connection, wait)
            case .notRefreshable:
                if failsInTrouble {
                    throw CredentialError(
                        code: .refreshFailed, description: "the connection has no refresh token", retryAfter: nil)
                }
                return current
            }
        }
    }

    private func notYet(_ connection: ConnectionRecord, _ wait: Duration) -> CredentialError {
        CredentialError(
            code: .refreshFailed,
            description:
                "the access token has ended and \(connection.provider) could not renew it yet; try again later",
            retryAfter: max(.seconds(1), wait))
    }

    private func fly(_ connection: ConnectionRecord) async throws -> RefreshResult {
        let id = connection.id
        let flight = flights.withLock { flights in
            if let open = flights[id] { return open }
            let task = Task { [attempts, weak self] in
                defer { self?.land(id) }
                return try await attempts.refresh(connectionID: id, generation: connection.generation)
            }
            flights[id] = task
            return task
        }
        return try await flight.value
    }

    private func land(_ id: Int64) { flights.withLock { $0[id] = nil } }
}
