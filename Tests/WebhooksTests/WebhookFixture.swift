import Credentials
import Egress
import Foundation
import Logging
import Pacing
import Postgres
import Queue
import Schema
import Store
import Synchronization
import TestSupport
import Testing
import Vault

@testable import Webhooks

/// A database with an environment, a receiver, and all that delivers from the one to the other.
final class WebhookFixture: Sendable {
    let pool: PostgresPool
    let queue: JobQueue
    let vault: CredentialVault
    let egress: EgressClient
    let configuration: WebhookConfiguration
    let editor: WebhookEndpointEditor
    let dispatcher: WebhookDispatcher
    let receiver: WebhookReceiver
    let environmentID: Int64

    private let runner: JobRunner
    private let ended: AsyncStream<Void>

    private static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    /// Tells a test that a job has ended and that its outcome is committed.
    private struct ObservedHandler: JobHandler {
        let handler: DeliverWebhookHandler
        let continuation: AsyncStream<Void>.Continuation

        var kind: String { handler.kind }
        var backoff: Backoff { Backoff(base: .milliseconds(1), cap: .milliseconds(1)) }

        func perform(_ job: LeasedJob, settlement: JobSettlement) async throws -> JobOutcome {
            defer { continuation.yield() }
            return try await handler.perform(job, settlement: settlement)
        }
    }

    private init(
        _ database: TestDatabase, _ receiver: WebhookReceiver, _ configure: (inout WebhookConfiguration) -> Void
    ) async throws {
        let logger = Self.logger
        pool = database.pool()
        let runnerPool = database.pool { $0.settings = JobQueue.sessionSettings }
        queue = JobQueue(pool: pool, logger: logger)
        vault = CredentialVault(
            keyring: try Keyring([
                KeyEncryptionKey(id: "test", key: Secret(SecureRandom.bytes(32)), isPrimary: true)
            ]), repository: DataKeys(pool: pool), logger: logger)
        egress = EgressClient(logger: logger)
        var configuration = WebhookConfiguration()
        configuration.networks = ["127.0.0.0/8"]
        configuration.allowsPlainHTTP = true
        configure(&configuration)
        self.configuration = configuration
        editor = WebhookEndpointEditor(pool: pool, queue: queue, vault: vault, configuration: configuration)
        dispatcher = WebhookDispatcher(pool: pool, queue: queue, configuration: configuration)
        self.receiver = receiver
        let (ended, continuation) = AsyncStream.makeStream(of: Void.self)
        self.ended = ended
        let handler = DeliverWebhookHandler(
            pool: pool, queue: queue, vault: vault, egress: egress, configuration: configuration, logger: logger)
        runner = JobRunner(
            queue: JobQueue(pool: runnerPool, logger: logger), pool: runnerPool,
            handlers: [ObservedHandler(handler: handler, continuation: continuation)], logger: logger)
        environmentID = try await Self.insertEnvironment("test", in: pool)
    }

    /// Runs `body` with a migrated database and a running worker.
    /// - Parameter answers: of the receiver; 204 afterwards.
    static func run(
        answers: [WebhookReceiver.Answer] = [], otherwise: WebhookReceiver.Answer = .status(204),
        configure: (inout WebhookConfiguration) -> Void = { _ in }, _ body: (WebhookFixture) async throws -> Void
    ) async throws {
        let template = await TestDatabase.registerTemplate("webhooks") { url in
            let pool = PostgresPool(PostgresConfiguration(url: url), logger: logger)
            defer { Task { await pool.close() } }
            try await SchemaMigrator(pool: pool, logger: logger).migrate()
            await pool.close()
        }
        let receiver = try WebhookReceiver(answers, otherwise: otherwise)
        defer { receiver.stop() }
        try await withTestDatabase(template: template) { database in
            let fixture = try await WebhookFixture(database, receiver, configure)
            let work = Task { try await fixture.runner.run() }
            var failure: (any Error)?
            do { try await body(fixture) } catch { failure = error }
            fixture.runner.drain()
            try await work.value
            await fixture.egress.close()
            if let failure { throw failure }
        }
    }

    // MARK: What tests do

    static func insertEnvironment(_ name: String, in pool: PostgresPool) async throws -> Int64 {
        let statement = PostgresStatement(
            "insert_test_environment",
            "insert into evergrant.environments (name, mode) values ($1, 'test') returning id")
        return try #require(try await pool.execute(statement, [.text(name)]).first?.decode(Int64.self))
    }

    func run(_ sql: String, _ parameters: [PostgresParameter] = []) async throws {
        try await pool.execute(PostgresStatement("test_statement_\(abs(sql.hashValue))", sql), parameters)
    }

    func value<T: PostgresDecodable>(_ sql: String, as type: T.Type) async throws -> T {
        let rows = try await pool.execute(PostgresStatement("test_query_\(abs(sql.hashValue))", sql))
        return try #require(rows.first).decode(type)
    }

    /// An endpoint at the receiver.
    @discardableResult
    func endpoint(_ name: String = "main", types: [String]? = nil, url: String? = nil) async throws
        -> WebhookEndpointEditor.Change
    {
        try await editor.put(name: name, url: url ?? receiver.url, types: types, environmentID: environmentID)
    }

    /// A connection that was created and then broke: two events that endpoints get by default.
    @discardableResult
    func breakConnection(_ identity: String = "user-1", environmentID: Int64? = nil) async throws -> Int64 {
        let insert = PostgresStatement(
            "insert_test_connection",
            """
            insert into evergrant.connections (environment_id, mode, integration, provider, identity_type, identity,
                state, grant_id)
            values ($1, 'test', 'gmail', 'google', 'user', $2, 'active', gen_random_uuid()) returning id
            """)
        let rows = try await pool.execute(insert, [.int8(environmentID ?? self.environmentID), .text(identity)])
        let id = try #require(try rows.first?.decode(Int64.self))
        try await run(
            "update evergrant.connections set state = 'broken', reason = 'refused' where id = $1", [.int8(id)])
        return id
    }

    func dispatch() async throws { while try await dispatcher.dispatch() > 0 {} }

    /// Waits until `count` jobs have ended.
    func jobsEnd(_ count: Int) async {
        var iterator = ended.makeAsyncIterator()
        for _ in 0..<count { _ = await iterator.next() }
    }

    /// Brings the time of all waiting tries to now, as the clock would, once the jobs that ran are settled.
    func elapse() async throws {
        while try await value("select count(*) from evergrant.leases", as: Int.self) > 0 {}
        try await run("update evergrant.deliveries set next_attempt_at = now() where state = 'pending'")
        try await run("update evergrant.jobs_scheduled set run_at = now()")
        try await QueueMaintenance(pool: pool, logger: Self.logger).promote()
    }

    /// Deliveries of an endpoint, oldest first.
    func deliveries(_ endpoint: WebhookEndpointRecord, _ state: DeliveryState? = nil) async throws -> [DeliveryRecord] {
        try await Deliveries.list(
            environmentID: endpoint.environmentID, endpointID: endpoint.id, state: state, in: pool
        ).reversed()
    }

    func endpointNow(_ name: String = "main") async throws -> WebhookEndpointRecord {
        try #require(try await WebhookEndpoints.find(name: name, environmentID: environmentID, in: pool))
    }
}

extension WebhookReceiver.Request {
    /// Verifies as a receiver does; throws ``StandardWebhooksSignature/Refusal``.
    func verify(_ secrets: WebhookSecret...) throws {
        try StandardWebhooksSignature.verify(
            header: { headers[$0] }, body: body, secrets: secrets, now: Int64(Date().timeIntervalSince1970))
    }

    var event: [String: Any]? { try? JSONSerialization.jsonObject(with: Data(body)) as? [String: Any] }
    var type: String? { event?["type"] as? String }
}
