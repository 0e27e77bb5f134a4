import Catalog
import Connect
import Credentials
import Egress
import Escrow
import Foundation
import Logging
import OAuth
import Postgres
import Sandbox
import Store
import TestSupport
import Testing
import Vault

/// The connect flow without HTTP of ours: database, vault, journal and the sandbox provider are real.
struct ConnectWorld: Sendable {
    let pool: PostgresPool
    let sandbox: SandboxServer
    let egress: EgressClient
    let vault: CredentialVault
    let catalog: IntegrationCatalog
    let journal: EscrowJournal
    /// Where the journal is.
    let directory: String
    let environment: EnvironmentRecord
    let flow: ConnectFlow

    static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    static func with(
        limits: ConnectLimits = ConnectLimits(), onePerAccount: Bool = false,
        _ body: (ConnectWorld) async throws -> Void
    ) async throws {
        try await withMigratedDatabase { database in
            let sandbox = SandboxServer(configuration: SandboxConfiguration(port: 0), logger: quiet)
            let directory = NSTemporaryDirectory() + "evergrant-connect-" + UUID().uuidString
            defer { try? FileManager.default.removeItem(atPath: directory) }
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await sandbox.run() }
                defer { group.cancelAll() }
                let base = "http://127.0.0.1:\(try await sandbox.port)"
                let pool = database.pool()
                let egress = EgressClient(logger: quiet)
                let files = URL(fileURLWithPath: directory + "-catalog")
                try FileManager.default.createDirectory(at: files, withIntermediateDirectories: true)
                defer { try? FileManager.default.removeItem(at: files) }
                if onePerAccount {
                    try Data(Self.onePerAccount.utf8).write(to: files.appending(path: "sandbox.yaml"))
                }
                let catalog = try IntegrationCatalog(
                    directories: [files], variables: ["sandbox_base": base, "sandbox_window": "600"])
                let vault = CredentialVault(
                    keyring: try Keyring([
                        KeyEncryptionKey(id: "test", key: Secret(SecureRandom.bytes(32)), isPrimary: true)
                    ]), repository: DataKeys(pool: pool), logger: quiet)
                let journal = try EscrowJournal(.init(directory: directory), logger: quiet)
                let environment = try #require(
                    try await Environments.insert(name: "test", mode: .test, appName: "Acme", in: pool))
                let flow = ConnectFlow(
                    pool: pool, vault: vault, catalog: catalog, oauth: OAuthClient(egress: egress), journal: journal,
                    publicURL: "http://127.0.0.1:1", limits: limits, logger: quiet)
                let world = ConnectWorld(
                    pool: pool, sandbox: sandbox, egress: egress, vault: vault, catalog: catalog, journal: journal,
                    directory: directory, environment: environment, flow: flow)
                try await world.enable("sandbox-strict-family", provider: "sandbox-strict-family")
                try await body(world)
                journal.close()
                await egress.close()
            }
        }
    }

    /// The sandbox's family class, as a provider that keeps one grant per account.
    private static let onePerAccount = """
        requires: [sandbox_base]
        allow_http: true
        networks: [127.0.0.0/8]
        providers:
          sandbox-strict-family:
            authorization_url: ${sandbox_base}/strict-family/authorize
            token_url: ${sandbox_base}/strict-family/token
            client: {authentication: body}
            replay: {class: strict, harm: family}
            revocation: {url: "${sandbox_base}/strict-family/revoke", kills: token}
            grants: {one_per_account: true}
        """

    private func enable(_ integration: String, provider: String) async throws {
        let uid = "app_" + SecureRandom.hex()
        let secret = try await vault.seal(
            Secret("sandbox-secret"), .clientSecret(environmentID: environment.id, appUID: uid, version: 1))
        let app = try await OAuthApps.insert(
            uid: uid, environmentID: environment.id, provider: provider, clientID: "sandbox-client",
            sealedSecret: secret, parameters: [:], in: pool)
        _ = try await IntegrationSettings.put(
            environmentID: environment.id, integration: integration, isEnabled: true, oauthAppID: app.id, scopes: nil,
            display: IntegrationDisplay(), in: pool)
    }

    /// A session that one browser holds.
    func opened(finish: Bool = false, identity: String = "user-1", reconnecting: UUID? = nil) async throws -> (
        session: ConnectSessionRecord, browser: BrowserBinding
    ) {
        var request = SessionRequest(identity: try Identity(type: .user, value: identity))
        request.connection = reconnecting
        request.integrations = ["sandbox-strict-family"]
        request.requiresFinish = finish
        var environment = environment
        if finish {
            request.redirectURL = "https://app.example.com/"
            environment = try #require(
                try await Environments.patch(
                    id: environment.id, appName: nil, embeddingOrigins: nil,
                    redirectOrigins: ["https://app.example.com"], requireFinish: nil, in: pool))
        }
        let minted = try await flow.mint(request, environment: environment, actor: "cli")
        let browser = BrowserBinding(cookie: Secret(SecureRandom.token()))
        return (try await flow.open(token: minted.token, browser: browser), browser)
    }

    /// Leaves, consents, and returns the query of the callback.
    func consent(
        _ session: ConnectSessionRecord, _ browser: BrowserBinding, account: String = "ann@example.com"
    ) async throws -> Secret {
        let departure = try await flow.depart(
            session: session.uid, browser: browser, integration: "sandbox-strict-family", typed: [:])
        let outcome = await egress.send(
            EgressRequest(
                url: departure.url.revealedText() + "&auto=allow&login_hint=\(account)", policy: .loopbackOnly))
        guard case .answered(let answer) = outcome,
            let query = answer.headers["location"]?.split(separator: "?", maxSplits: 1).last
        else { throw InvalidValue(item: "consent", problem: "\(outcome)", repair: "look at the sandbox") }
        return Secret(String(query))
    }

    /// The whole flow, to its callback.
    @discardableResult
    func connected(
        identity: String = "user-1", account: String = "ann@example.com", finish: Bool = false,
        reconnecting: UUID? = nil
    ) async throws -> FinishedSession {
        let (session, browser) = try await opened(finish: finish, identity: identity, reconnecting: reconnecting)
        return try await flow.callback(
            integration: "sandbox-strict-family", query: try await consent(session, browser, account: account),
            browser: browser)
    }

    /// Tells the sandbox something over its control endpoints.
    func control(_ path: String, _ body: String) async throws {
        let outcome = await egress.send(
            EgressRequest(
                method: "POST", url: "http://127.0.0.1:\(try await sandbox.port)/control/\(path)",
                headers: [("content-type", "application/json")], body: .bytes(Array(body.utf8)),
                policy: .loopbackOnly))
        guard case .answered(let answer) = outcome, answer.status < 300 else {
            throw InvalidValue(item: path, problem: "\(outcome)", repair: "look at the sandbox")
        }
    }

    func count(_ sql: String) async throws -> Int {
        let row = try #require(try await pool.execute(PostgresStatement("count", sql)).first)
        let count: Int64 = try row.decode(Int64.self)
        return Int(count)
    }

    func run(_ sql: String) async throws { try await pool.execute(PostgresStatement("run", sql)) }
}
