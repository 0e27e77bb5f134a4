import ChaosSupport
import Credentials
import Egress
import Escrow
import Foundation
import Lifecycle
import Logging
import OAuth
import Pacing
import Postgres
import Queue
import Store
import Synchronization
import TestSupport

/// A process of the fleet inside the test's own: its sessions go through a place of the proxy, its journal is its own. It
/// can be killed at any statement and started again on its journal, in milliseconds, so that thousands of histories fit
/// into a minute.
package final class WorldProcess: Sendable {
    package let services: LifecycleServices
    package let attempts: RefreshAttempts
    package let refresher: CredentialRefresher
    package let place: Int
    private let proxy: Proxy
    private let journal: EscrowJournal
    private let work = Mutex<[Task<Void, Never>]>([])

    /// - Parameters:
    ///   - place: of one that was killed, to begin again in its stead; nil: a new one.
    ///   - transport: what it sends with; nil: libcurl.
    ///   - journals: the directory of its journal, in the world's.
    ///   - timings: its own; nil: the world's.
    package init(
        _ name: String, in world: LifecycleWorld, behind proxy: Proxy, place: (Int, UInt16)? = nil,
        guards: ProtocolGuards = .all, transport: (any OAuthTransport)? = nil, journals: String = "journals",
        timings: LifecycleTimings? = nil
    ) throws {
        self.proxy = proxy
        let (place, port) = try place ?? proxy.add()
        self.place = place
        self.port = port
        let logger = Logger(label: name) { _ in SwiftLogNoOpLogHandler() }
        let pool = world.database.pool {
            $0.url = Proxy.url(port: port, database: world.databaseName)
            $0.maximumConnections = 4
            $0.connectTimeout = .seconds(5)
            $0.applicationName = name
        }
        // Whoever starts recovers what others of the same directory have left.
        journal = try EscrowJournal(.init(directory: "\(world.directory)/\(journals)"), logger: logger)
        services = LifecycleServices(
            pool: pool, vault: world.vault, catalog: world.catalog,
            oauth: OAuthClient(transport: transport ?? world.egress), queue: JobQueue(pool: pool, logger: logger),
            journal: journal, timings: timings ?? world.services.timings, owner: name, logger: logger, guards: guards)
        attempts = RefreshAttempts(services)
        refresher = CredentialRefresher(services)
    }

    private let port: UInt16
    /// Where another may begin after this one was killed.
    package var seat: (Int, UInt16) { (place, port) }

    /// Begins something that goes on until it ends or the process is killed.
    @discardableResult
    package func begin<Result: Sendable>(
        _ body: @escaping @Sendable (WorldProcess) async throws -> Result
    ) -> Task<Result, any Error> {
        let task = Task { try await body(self) }
        let watch = Task {
            await withTaskCancellationHandler {
                _ = try? await task.value
            } onCancel: {
                task.cancel()
            }
        }
        work.withLock { $0.append(watch) }
        return task
    }

    package func refresh(_ connection: ConnectionRecord) async throws -> RefreshResult {
        try await attempts.refresh(connectionID: connection.id, generation: nil)
    }

    /// Recovers the connection's open attempt, if there is one past its deadline.
    package func recover(_ connection: ConnectionRecord, in world: LifecycleWorld) async throws -> RefreshResult {
        guard let nonce = try await world.row(connection).attemptNonce else { return .notMarked }
        return try await attempts.recover(connectionID: connection.id, nonce: nonce)
    }

    /// Commits the answers that dead processes have left, as every start does.
    /// - Returns: how many records there were.
    @discardableResult
    package func drain() async -> Int {
        let keeper = AnswerKeeper(services)
        return await journal.recoverAbandoned { record in
            record.kind == .refreshAnswer ? try await keeper.recover(record).settlement : nil
        }
    }

    /// Stops a statement of this process, or its answer.
    package func hold(_ statement: String, _ point: StatementHold.Point) -> StatementHold {
        proxy.hold(statement, at: point, place: place)
    }

    /// As SIGKILL: nothing that it would still do reaches the database or the provider; its journal stays.
    package func kill() async {
        proxy.set(.cut, place: place)
        let open = work.withLock { work in
            defer { work = [] }
            return work
        }
        async let closed: Void = services.pool.close(grace: .zero)
        for task in open { task.cancel() }
        for task in open { await task.value }
        await closed
        journal.close()
        proxy.set(.open, place: place)
    }

    /// Waits for what it has begun, then ends it in order.
    package func stop() async {
        for task in work.withLock({ $0 }) { await task.value }
        await refresher.drain()
        journal.close()
        await services.pool.close(grace: .zero)
    }
}

/// Sends without what keeps a request from being sent twice: reuses connections, and repeats on its own what died on one
/// before the first byte of an answer, as libcurl does.
package struct CarelessTransport: OAuthTransport {
    private let egress: EgressClient

    package init(_ egress: EgressClient) { self.egress = egress }

    package func send(_ request: EgressRequest) async -> EgressOutcome {
        var request = request
        request.freshConnection = false
        let outcome = await egress.send(request)
        guard case .ambiguous(let failure) = outcome, failure.code == .resendPrevented else { return outcome }
        return await egress.send(request)
    }
}
