import Catalog
import Credentials
import Egress
import Foundation
import Lifecycle
import OAuth
import Postgres
import Sandbox
import Store
import TestSupport
import Vault

extension LifecycleWorld {
    /// Sets the integration of a sandbox class up in the environment, with the sandbox's own client.
    @discardableResult
    package func enable(_ provider: String) async throws -> OAuthAppRecord {
        let uid = "app_" + SecureRandom.hex()
        let secret = try await vault.seal(
            Secret("sandbox-secret"), .clientSecret(environmentID: environmentID, appUID: uid, version: 1))
        let app = try await OAuthApps.insert(
            uid: uid, environmentID: environmentID, provider: "sandbox-\(provider)", clientID: "sandbox-client",
            sealedSecret: secret, parameters: [:], in: pool)
        _ = try await IntegrationSettings.put(
            environmentID: environmentID, integration: "sandbox-\(provider)", isEnabled: true, oauthAppID: app.id,
            scopes: nil, display: IntegrationDisplay(), in: pool)
        return app
    }

    /// A living grant at the sandbox that nobody here knows of: what an app that refreshes by itself holds.
    package func issue(_ provider: String, account: String) async throws -> TokenSet {
        let integration = try catalog.integration(named: "sandbox-\(provider)")
        guard let facts = catalog.provider(of: integration) else {
            throw InvalidValue(item: provider, problem: "has no provider", repair: "use an OAuth class")
        }
        let app = OAuthApp(
            clientID: "sandbox-client", clientSecret: Secret("sandbox-secret"),
            redirectURI: "http://127.0.0.1:9/oauth/callback")
        let request = try AuthorizationRequest(integration: integration, provider: facts, app: app)
        let page = await egress.send(
            .init(method: "GET", url: request.url + "&auto=allow&account=\(account)", policy: .loopbackOnly))
        guard case .answered(let answer) = page,
            let query = answer.headers["location"]?.split(separator: "?", maxSplits: 1).last
        else { throw InvalidValue(item: "authorization", problem: "\(page)", repair: "see the sandbox") }
        let callback = try CallbackParameters(parsing: String(query))
        guard case .code(let code) = try callback.answer(from: facts, app: app, facts: [:]) else {
            throw InvalidValue(item: "authorization", problem: "was refused", repair: "see the sandbox")
        }
        let outcome = await services.oauth.exchange(
            code: code, callback: callback, codeVerifier: request.codeVerifier, nonce: nil, scopes: [],
            provider: facts, app: app, facts: [:])
        guard case .success(let issued) = outcome else {
            throw InvalidValue(item: "exchange", problem: "\(outcome)", repair: "see the sandbox")
        }
        return issued.tokens
    }

    /// Everything in the database but its queue's tables, as `pg_dump` writes it; bytes stand in hexadecimal.
    package func dump() throws -> String {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["pg_dump", "--data-only", "--schema=evergrant", database.url]
        let pipe = Pipe()
        process.standardOutput = pipe
        try process.run()
        let text = String(decoding: try pipe.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
        process.waitUntilExit()
        guard process.terminationStatus == 0, text.contains("COPY evergrant.connections") else {
            throw InvalidValue(
                item: "pg_dump", problem: "ended with \(process.terminationStatus)", repair: "see its output")
        }
        return text
    }
}
