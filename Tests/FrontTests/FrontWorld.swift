import Catalog
import Connect
import Credentials
import Egress
import Escrow
import Foundation
import Front
import Lifecycle
import Logging
import OAuth
import Postgres
import Queue
import Sandbox
import Store
import Synchronization
import TestSupport
import Testing
import Vault
import Webhooks

/// A whole front over real HTTP on loopback, with everything real behind it: database, vault, journal, Egress, and the
/// sandbox provider. A test states only what matters to it.
struct FrontWorld: Sendable {
    let pool: PostgresPool
    let lifecycle: LifecycleServices
    let sandbox: SandboxServer
    let sandboxBase: String
    /// The test's own client, apart from the front's.
    let egress: EgressClient
    let connect: ConnectFlow
    let environment: EnvironmentRecord
    /// A key of role `full`.
    let key: String
    let port: Int
    let adminPort: Int
    let logs: LogLines
    let upstream: Upstream
    let databaseURL: String

    var base: String { "http://127.0.0.1:\(port)" }

    /// Runs `body` against a front of its own.
    static func with(
        options configure: (inout FrontOptions) -> Void = { _ in },
        limits: ConnectLimits = ConnectLimits(),
        _ body: (FrontWorld) async throws -> Void
    ) async throws {
        let logs = LogLines()
        let logger = Logger(label: "test") { _ in LineHandler(lines: logs) }
        try await withMigratedDatabase { database in
            let quiet = Logger(label: "sandbox") { _ in SwiftLogNoOpLogHandler() }
            let sandbox = SandboxServer(configuration: SandboxConfiguration(port: 0), logger: quiet)
            let directory = NSTemporaryDirectory() + "evergrant-front-" + UUID().uuidString
            defer { try? FileManager.default.removeItem(atPath: directory) }
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await sandbox.run() }
                defer { group.cancelAll() }
                let sandboxBase = "http://127.0.0.1:\(try await sandbox.port)"
                let upstream = Upstream()
                group.addTask { try await upstream.run() }
                let files = URL(fileURLWithPath: directory + "-catalog")
                try FileManager.default.createDirectory(at: files, withIntermediateDirectories: true)
                defer { try? FileManager.default.removeItem(at: files) }
                try Data(Upstream.catalog(port: await upstream.boundPort).utf8).write(
                    to: files.appending(path: "upstream.yaml"))
                let pool = database.pool { $0.maximumConnections = 16 }
                let egress = EgressClient(logger: quiet)
                let client = EgressClient(logger: quiet)
                let catalog = try IntegrationCatalog(
                    directories: [files], variables: ["sandbox_base": sandboxBase, "sandbox_window": "600"])
                let vault = CredentialVault(
                    keyring: try Keyring([
                        KeyEncryptionKey(id: "test", key: Secret(SecureRandom.bytes(32)), isPrimary: true)
                    ]), repository: DataKeys(pool: pool), logger: quiet)
                let journal = try EscrowJournal(.init(directory: directory), logger: quiet)
                let lifecycle = LifecycleServices(
                    pool: pool, vault: vault, catalog: catalog, oauth: OAuthClient(egress: egress),
                    queue: JobQueue(pool: pool, logger: quiet), journal: journal, owner: "test", logger: logger)
                // The redirect URIs need the port before the server has one.
                let port = try FreePort.find()
                let connect = ConnectFlow(
                    pool: pool, vault: vault, catalog: catalog, oauth: lifecycle.oauth, journal: journal,
                    publicURL: "http://127.0.0.1:\(port)", limits: limits, logger: logger)
                var options = FrontOptions(
                    publicAddress: ListenAddress(host: "127.0.0.1", port: port),
                    adminAddress: ListenAddress(host: "127.0.0.1", port: 0), publicURL: "http://127.0.0.1:\(port)")
                configure(&options)
                let front = try FrontApplication(
                    options: options,
                    services: FrontServices(
                        lifecycle: lifecycle, refresher: CredentialRefresher(lifecycle), connect: connect,
                        egress: egress, webhooks: WebhookConfiguration(), prometheusText: { "evergrant_up 1\n" }))
                group.addTask { try await front.run() }
                let ports = await front.addresses.ports()
                let environment = try #require(
                    try await Environments.insert(
                        name: "test", mode: .test, appName: "Acme", redirectOrigins: ["https://app.example.com"],
                        in: pool))
                let world = FrontWorld(
                    pool: pool, lifecycle: lifecycle, sandbox: sandbox, sandboxBase: sandboxBase, egress: client,
                    connect: connect, environment: environment,
                    key: try await newKey(.full, environment, in: pool), port: ports.open, adminPort: ports.admin,
                    logs: logs, upstream: upstream, databaseURL: database.url)
                try await body(world)
                journal.close()
                await egress.close()
                await client.close()
            }
        }
    }

    static func newKey(_ role: APIKeyRole, _ environment: EnvironmentRecord, in pool: PostgresPool) async throws
        -> String
    {
        let draft = APIKeyDraft(mode: environment.mode)
        _ = try await APIKeys.insert(
            draft, environmentID: environment.id, name: role.rawValue, role: role, expiresAt: nil, in: pool)
        return draft.text.revealedText()
    }

    // MARK: API

    /// One call of the API with the world's key, or another.
    func call(
        _ method: String, _ path: String, _ json: String? = nil, key: String? = nil,
        headers: [(String, String)] = []
    ) async throws -> Answer {
        var fields = [(name: "authorization", value: "Bearer \(key ?? self.key)")]
        if json != nil { fields.append(("content-type", "application/json")) }
        fields += headers.map { ($0.0, $0.1) }
        return try await Answer.of(egress, method, base + path, fields, json.map { Array($0.utf8) })
    }

    /// Sets up a sandbox integration with the sandbox's client.
    func enable(_ integration: String, key: String? = nil) async throws {
        let body =
            integration == "sandbox-key"
            ? "{}" : #"{"client_id":"sandbox-client","client_secret":"sandbox-secret"}"#
        let answer = try await call("PUT", "/v1/integrations/\(integration)", body, key: key)
        try #require(answer.status == 200, "\(answer.text)")
    }

    /// A session without finish: its token.
    func session(
        _ integration: String? = nil, identity: String = "user-1", more: String = "", key: String? = nil
    ) async throws -> (id: String, token: String) {
        let list = integration.map { #","integrations":["\#($0)"]"# } ?? ""
        let answer = try await call(
            "POST", "/v1/sessions", #"{"identity":"\#(identity)","require_finish":false\#(list)\#(more)}"#, key: key)
        try #require(answer.status == 201, "\(answer.text)")
        return (try answer.string("id"), try answer.string("token"))
    }

    /// The whole flow by hand of a browser: link, consent, callback.
    @discardableResult
    func connected(
        _ integration: String = "sandbox-replayable", identity: String = "user-1", account: String = "ann@example.com",
        more: String = "", key: String? = nil
    ) async throws -> Answer {
        let session = try await session(integration, identity: identity, more: more, key: key)
        let browser = Browser(world: self)
        try await browser.open(session.token)
        let callback = try await browser.consent(session.id, integration, account: account)
        let answer = try await browser.get(callback)
        try #require(answer.status == 303, "\(answer.status) \(answer.text)")
        let shown = try await call("GET", "/v1/sessions/\(session.id)", key: key)
        return try await call("GET", "/v1/connections/\(try shown.string("connection"))", key: key)
    }

    /// A connection with an API key that nobody tests: its key.
    func connectedByKey(_ integration: String, secret: String = "sk_upstream_0123456789") async throws -> String {
        let answer = try await call("PUT", "/v1/integrations/\(integration)", "{}")
        try #require(answer.status == 200, "\(answer.text)")
        let session = try await session(integration)
        let browser = Browser(world: self)
        try await browser.open(session.token)
        let done = try await browser.post("/connect/s/\(session.id)/\(integration)", form: ["api_key": secret])
        try #require(done.status == 303, "\(done.text)")
        return try await call("GET", "/v1/sessions/\(session.id)").string("connection_key")
    }

    /// One call through the passthrough.
    func pass(
        _ method: String, _ path: String, connection: String, headers: [(String, String)] = [], body: [UInt8]? = nil,
        key: String? = nil
    ) async throws -> Answer {
        let fields = [
            (name: "authorization", value: "Bearer \(key ?? self.key)"),
            (name: "evergrant-connection", value: String(connection.prefix { $0 != "|" })),
        ]
        return try await Answer.of(
            egress, method, base + "/v1/passthrough" + path, fields + headers.map { ($0.0, $0.1) }, body)
    }
}

/// An answer, as a test reads it.
struct Answer: Sendable {
    let status: Int
    let headers: EgressHeaders
    let body: [UInt8]

    var text: String { String(decoding: body, as: UTF8.self) }

    var json: [String: Any] { (try? JSONSerialization.jsonObject(with: Data(body))) as? [String: Any] ?? [:] }

    /// The code of a problem.
    var code: String { json["code"] as? String ?? "" }

    func string(_ name: String) throws -> String { try #require(json[name] as? String, "\(name) in \(text)") }

    static func of(
        _ egress: EgressClient, _ method: String, _ url: String, _ headers: [(name: String, value: String)],
        _ body: [UInt8]?
    ) async throws -> Answer {
        var request = EgressRequest(
            method: method, url: url, headers: headers, body: body.map { .bytes($0) } ?? .none, policy: .loopbackOnly)
        request.maximumResponseBytes = 64 << 20
        switch await egress.send(request) {
        case .answered(let answer): return Answer(status: answer.status, headers: answer.headers, body: answer.body)
        case .notSent(let failure), .ambiguous(let failure): throw failure
        }
    }
}

/// A browser, as far as a test needs one: it keeps cookies of the front and follows nothing by itself.
final class Browser: Sendable {
    private let world: FrontWorld
    private let jar = Mutex<[String: String]>([:])

    init(world: FrontWorld) { self.world = world }

    var cookies: [String: String] { jar.withLock { $0 } }

    func forget() { jar.withLock { $0 = [:] } }

    func get(_ url: String) async throws -> Answer { try await send("GET", url, nil, []) }

    func post(_ url: String, form: [String: String], origin: String? = nil) async throws -> Answer {
        let text = form.map { "\($0.key)=\(Self.encode($0.value))" }.joined(separator: "&")
        return try await send(
            "POST", url, Array(text.utf8),
            [("content-type", "application/x-www-form-urlencoded"), ("origin", origin ?? world.base)])
    }

    /// Presses the button of a link's first page.
    @discardableResult
    func open(_ token: String) async throws -> Answer {
        try await send(
            "POST", "/connect/open", Array(#"{"token":"\#(token)"}"#.utf8),
            [("content-type", "application/json"), ("origin", world.base)])
    }

    /// Presses "continue" on the integration's page: the provider's URL.
    func depart(_ session: String, _ integration: String, form: [String: String] = [:]) async throws -> String {
        let page = try await post("/connect/s/\(session)/\(integration)", form: form)
        try #require(page.status == 200, "\(page.status) \(page.text)")
        let match = try #require(page.text.firstMatch(of: /content="0;url=([^"]+)"/), "\(page.text)")
        return String(match.1).replacing("&amp;", with: "&").replacing("&#39;", with: "'")
    }

    /// Goes to the provider and consents: the callback URL, not yet opened.
    func consent(
        _ session: String, _ integration: String, account: String = "ann@example.com", decision: String = "allow"
    ) async throws -> String {
        let url = try await depart(session, integration)
        let page = try await Answer.of(
            world.egress, "GET", url + "&auto=\(decision)&login_hint=\(account)", [], nil)
        return try #require(page.headers["location"], "\(page.status) \(page.text)")
    }

    func send(
        _ method: String, _ url: String, _ body: [UInt8]?, _ headers: [(String, String)]
    ) async throws -> Answer {
        var fields = headers.map { (name: $0.0, value: $0.1) }
        let cookies = cookies.map { "\($0.key)=\($0.value)" }.joined(separator: "; ")
        if !cookies.isEmpty { fields.append(("cookie", cookies)) }
        let answer = try await Answer.of(
            world.egress, method, url.hasPrefix("/") ? world.base + url : url, fields, body)
        for set in answer.headers.values("set-cookie") {
            let pair = set.prefix { $0 != ";" }.split(separator: "=", maxSplits: 1)
            if pair.count == 2 { jar.withLock { $0[String(pair[0])] = String(pair[1]) } }
        }
        return answer
    }

    private static func encode(_ text: String) -> String {
        text.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? ""
    }
}

/// Every line a front logged.
final class LogLines: Sendable {
    private let lines = Mutex<[String]>([])

    func add(_ line: String) { lines.withLock { $0.append(line) } }

    var text: String { lines.withLock { $0.joined(separator: "\n") } }
}

struct LineHandler: LogHandler {
    let lines: LogLines
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.debug

    init(lines: LogLines) { self.lines = lines }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        lines.add("\(event.level) \(event.message) \(metadata.merging(event.metadata ?? [:]) { $1 })")
    }
}
