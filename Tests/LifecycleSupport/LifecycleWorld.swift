import Catalog
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
import Sandbox
import Store
import TestSupport
import Vault

/// Everything a lifecycle test needs, real: a database with the whole schema, the sandbox provider over HTTP, a vault,
/// a journal. A test states only what matters to it.
package struct LifecycleWorld: Sendable {
    package let database: TestDatabase
    package let pool: PostgresPool
    package let sandbox: SandboxServer
    package let base: String
    package let egress: EgressClient
    package let catalog: IntegrationCatalog
    package let vault: CredentialVault
    package let services: LifecycleServices
    package let environmentID: Int64
    package let directory: String

    /// Short durations, so that a test lives hours in a second.
    package static var timings: LifecycleTimings {
        var timings = LifecycleTimings()
        timings.attemptLength = .seconds(2)
        timings.sendWithin = .seconds(1)
        timings.requestTimeout = .milliseconds(900)
        timings.confirmAfter = .zero
        timings.backoff = Backoff(base: .milliseconds(10), cap: .milliseconds(50))
        timings.quarantineProbe = .milliseconds(100)
        timings.callerPatience = .seconds(5)
        return timings
    }

    package static func with(
        timings: LifecycleTimings = timings, window: Int = 600, _ body: (LifecycleWorld) async throws -> Void
    ) async throws {
        try await withMigratedDatabase { database in
            try await on(database, timings: timings, window: window, body)
        }
    }

    /// The same on a migrated, empty database of the caller's own.
    package static func on(
        _ database: TestDatabase, timings: LifecycleTimings = timings, window: Int = 600,
        _ body: (LifecycleWorld) async throws -> Void
    ) async throws {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        do {
            let server = SandboxServer(configuration: SandboxConfiguration(port: 0), logger: logger)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await server.run() }
                defer { group.cancelAll() }
                let base = "http://127.0.0.1:\(try await server.port)"
                let pool = database.pool { $0.maximumConnections = 8 }
                let egress = EgressClient(logger: logger)
                let catalog = try IntegrationCatalog(
                    variables: ["sandbox_base": base, "sandbox_window": "\(window)"])
                let directory = NSTemporaryDirectory() + "evergrant-lifecycle-" + UUID().uuidString
                defer { try? FileManager.default.removeItem(atPath: directory) }
                try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
                let keyring = try Keyring.generate(at: directory + "/keyring")
                let vault = CredentialVault(
                    keyring: keyring, repository: DataKeys(pool: pool), logger: logger)
                let journal = try EscrowJournal(.init(directory: directory + "/journal"), logger: logger)
                guard let environment = try await Environments.insert(name: "test", mode: .test, in: pool) else {
                    throw PostgresError(.misuse, statement: "insert_environment", "exists")
                }
                let world = LifecycleWorld(
                    database: database, pool: pool, sandbox: server, base: base, egress: egress, catalog: catalog,
                    vault: vault,
                    services: LifecycleServices(
                        pool: pool, vault: vault, catalog: catalog, oauth: OAuthClient(egress: egress),
                        queue: JobQueue(pool: pool, logger: logger), journal: journal, timings: timings,
                        owner: "test", logger: logger),
                    environmentID: environment.id, directory: directory)
                try await body(world)
                journal.close()
                await egress.close()
            }
        }
    }

    /// A connection with a living grant at the sandbox, obtained by the authorization code flow.
    package func connect(_ provider: String, account: String = "user@example.com", life: Double = 3600) async throws
        -> ConnectionRecord
    {
        try await connect(provider, account: account, life: life, identity: "user-1")
    }

    package func connect(_ provider: String, account: String, life: Double, identity: String) async throws
        -> ConnectionRecord
    {
        let integration = try catalog.integration(named: "sandbox-\(provider)")
        guard let facts = catalog.provider(of: integration) else {
            throw InvalidValue(item: provider, problem: "has no provider", repair: "use an OAuth class")
        }
        guard let providerClass = ProviderClass(rawValue: provider) else {
            throw InvalidValue(item: provider, problem: "is no class of the sandbox", repair: "see docs/sandbox.md")
        }
        sandbox.state.change { settings in settings[providerClass].accessLifetime = life }
        let appUID = "app_" + SecureRandom.hex()
        let secret = try await vault.seal(
            Secret("sandbox-secret"), .clientSecret(environmentID: environmentID, appUID: appUID, version: 1))
        let stored = try await OAuthApps.insert(
            uid: appUID, environmentID: environmentID, provider: facts.id, clientID: "sandbox-client",
            sealedSecret: secret, parameters: [:], in: pool)
        let app = OAuthApp(
            clientID: "sandbox-client", clientSecret: Secret("sandbox-secret"),
            redirectURI: "http://127.0.0.1:9/oauth/callback", parameters: [:], replay: nil)
        let request = try AuthorizationRequest(integration: integration, provider: facts, app: app)
        let page = await egress.send(
            .init(
                method: "GET", url: request.url + "&auto=allow&account=\(account)", policy: .loopbackOnly))
        guard case .answered(let answer) = page, let location = answer.headers["location"],
            let query = location.split(separator: "?", maxSplits: 1).last
        else { throw InvalidValue(item: "authorization", problem: "\(page)", repair: "see the sandbox") }
        let callback = try CallbackParameters(parsing: String(query))
        guard case .code(let code) = try callback.answer(from: facts, app: app, facts: [:]) else {
            throw InvalidValue(item: "authorization", problem: "was refused", repair: "see the sandbox")
        }
        let now = Date()
        let outcome = await services.oauth.exchange(
            code: code, callback: callback, codeVerifier: request.codeVerifier, nonce: nil, scopes: [],
            provider: facts, app: app, facts: [:], startedAt: now)
        guard case .success(let issued) = outcome else {
            throw InvalidValue(item: "exchange", problem: "\(outcome)", repair: "see the sandbox")
        }
        let uid = UUID()
        let schedule = GrantSchedule.make(
            tokens: issued.tokens, issuedAt: now,
            lifetimes: services.lifetimes(of: facts, integration: integration), requestedScopes: [], key: uid)
        let sealed = try await vault.seal(
            issued.tokens.plaintext(), .connectionTokens(environmentID: environmentID, uid: uid, generation: 1))
        return try await Connections.insert(
            NewConnection(
                uid: uid, environmentID: environmentID, mode: .test, integration: integration.id, provider: facts.id,
                oauthAppID: stored.id, identity: Identity(type: .user, value: identity),
                grant: NewGrant(schedule: schedule, accountID: account, accountLabel: account)),
            sealed: sealed, in: pool)
    }

    /// Adds a fault at the sandbox's refresh endpoint.
    package func fault(
        _ kind: String, at provider: String, endpoint: String = "token-refresh", count: Int = 1, more: String = ""
    )
        async throws
    {
        try await control(
            "faults",
            #"{"class":"\#(provider)","endpoint":"\#(endpoint)","kind":"\#(kind)","count":\#(count)\#(more)}"#)
    }

    @discardableResult
    package func control(_ path: String, _ body: String) async throws -> String {
        let outcome = await egress.send(
            .init(
                method: "POST", url: "\(base)/control/\(path)", headers: [("content-type", "application/json")],
                body: .bytes(Array(body.utf8)), policy: .loopbackOnly))
        guard case .answered(let answer) = outcome, (200..<300).contains(answer.status) else {
            throw InvalidValue(item: "control/\(path)", problem: "\(outcome)", repair: "see the sandbox")
        }
        return String(decoding: answer.body, as: UTF8.self)
    }

    package func row(_ connection: ConnectionRecord) async throws -> ConnectionRecord {
        guard let row = try await Connections.find(id: connection.id, in: pool) else {
            throw InvalidValue(item: "connection", problem: "is gone", repair: "keep it")
        }
        return row
    }

    /// The types of the connection's events, in order.
    package func events(_ connection: ConnectionRecord) async throws -> [String] {
        try await pool.execute(
            PostgresStatement(
                "test_events", "select type from evergrant.events where connection_id = $1 order by id"),
            [.int8(connection.id)]
        ).map { try $0.decode(String.self) }
    }

    /// What the provider would say to the refresh token we hold now.
    package func heldRefreshTokenIsAlive(_ connection: ConnectionRecord) async throws -> Bool {
        let row = try await row(connection)
        guard let sealed = try await Validations.current(connectionID: row.id, in: pool) else { return false }
        let tokens = try TokenSet(
            plaintext: await vault.open(
                sealed,
                .connectionTokens(environmentID: environmentID, uid: row.uid, generation: row.generation)))
        return tokens.refreshToken.map { sandbox.state.lookup($0.revealedText()).alive } ?? false
    }

    /// Moves an open attempt's times into the past, as if `seconds` had gone by.
    package func age(_ connection: ConnectionRecord, seconds: Double) async throws {
        try await pool.execute(
            PostgresStatement(
                "test_age",
                """
                update evergrant.connections set attempt_started_at = attempt_started_at - make_interval(secs => $2),
                    attempt_deadline = attempt_deadline - make_interval(secs => $2),
                    ambiguous_since = ambiguous_since - make_interval(secs => $2),
                    access_expires_at = access_expires_at - make_interval(secs => $2)
                where id = $1
                """), [.int8(connection.id), .float8(seconds)])
    }

    /// Lets time pass for one connection and for its account at the provider.
    package func pass(_ connection: ConnectionRecord, account: String, seconds: Double) async throws {
        sandbox.state.age(account: account, by: seconds)
        try await pool.execute(
            PostgresStatement(
                "test_pass",
                """
                with aged as (
                    update evergrant.connections set attempt_started_at = attempt_started_at - make_interval(secs => $2),
                        attempt_deadline = attempt_deadline - make_interval(secs => $2),
                        ambiguous_since = ambiguous_since - make_interval(secs => $2),
                        access_issued_at = access_issued_at - make_interval(secs => $2),
                        access_expires_at = access_expires_at - make_interval(secs => $2),
                        next_attempt_at = next_attempt_at - make_interval(secs => $2),
                        retest_at = retest_at - make_interval(secs => $2),
                        refresh_due_at = refresh_due_at - make_interval(secs => $2)
                    where id = $1 returning id)
                update evergrant.credentials k set issued_at = issued_at - make_interval(secs => $2),
                    previous_issued_at = previous_issued_at - make_interval(secs => $2)
                from aged where k.connection_id = aged.id
                """), [.int8(connection.id), .float8(seconds)])
    }

    /// Recovers the connection's open attempt, if there is one past its deadline.
    package func recover(_ connection: ConnectionRecord) async throws -> RefreshResult {
        guard let nonce = try await row(connection).attemptNonce else { return .notMarked }
        return try await RefreshAttempts(services).recover(connectionID: connection.id, nonce: nonce)
    }

    package func refresh(_ connection: ConnectionRecord) async throws -> RefreshResult {
        try await RefreshAttempts(services).refresh(connectionID: connection.id, generation: nil)
    }

    /// The state of every connection.
    package func states() async throws -> [Int64: ConnectionState] {
        let rows = try await pool.execute(
            PostgresStatement("test_states", "select id, state from evergrant.connections"), [])
        return try Dictionary(
            rows.map { row in
                let (id, state) = try row.decode(Int64.self, String.self)
                return (id, ConnectionState(rawValue: state) ?? .pending)
            }, uniquingKeysWith: { $1 })
    }

    /// The process that holds the mark of an account's connection.
    package func ownerPID(ofAccount account: String) async throws -> Int32? {
        let rows = try await pool.execute(
            PostgresStatement(
                "test_owner",
                "select attempt_owner from evergrant.connections where account_id = $1 and attempt_nonce is not null"),
            [.text(account)])
        return try rows.first?.decode(String.self).split(separator: ":").last.flatMap { Int32($0) }
    }

    /// The name of the database, whoever made it.
    package var databaseName: String {
        String(URLComponents(string: database.url)?.path.dropFirst() ?? "postgres")
    }

    package var inFlight: Int { sandbox.state.grants().map(\.maximumInFlight).max() ?? 0 }
}
