import Bootstrap
import Catalog
import Credentials
import Foundation
import Logging
import Postgres
import Schema
import Store
import Vault

/// Brings a database to where a person can try things: schema, an environment `test`, an API key, the sandbox's
/// integrations with the sandbox's client. Each step finds what an earlier start has done.
struct FirstStart: Sendable {
    static let environmentName = "test"
    /// Known to every sandbox from its start.
    static let sandboxClient = (id: "sandbox-client", secret: "sandbox-secret")

    let configuration: EvergrantConfiguration
    let directory: FleetDirectory
    let logger: Logger

    struct Result: Sendable {
        let apiKey: Secret
        let isNewKey: Bool
    }

    func run() async throws -> Result {
        let catalog = try configuration.catalog.catalog()
        let keyring = try configuration.keyring.keyring()
        var postgres = try configuration.database.postgres(.tool)
        postgres.maximumConnections = 2
        let pool = PostgresPool(postgres, logger: logger)
        do {
            try await SchemaMigrator(pool: pool, logger: logger).migrate()
            let vault = CredentialVault(keyring: keyring, repository: DataKeys(pool: pool), logger: logger)
            try await vault.check()
            let environment = try await environment(in: pool)
            let result = try await apiKey(environment, in: pool)
            try await offerSandbox(catalog, environment, vault, in: pool)
            await pool.close()
            return result
        } catch {
            await pool.close()
            throw error
        }
    }

    private func environment(in pool: PostgresPool) async throws -> EnvironmentRecord {
        if let found = try await Environments.find(name: Self.environmentName, in: pool) { return found }
        if let new = try await Environments.insert(
            name: Self.environmentName, mode: .test, appName: "Your app", in: pool)
        {
            return new
        }
        guard let winner = try await Environments.find(name: Self.environmentName, in: pool) else {
            throw FleetError("environment \(Self.environmentName) could not be made")
        }
        return winner
    }

    /// The key of an earlier start when it still opens this database's environment, else a new one.
    private func apiKey(_ environment: EnvironmentRecord, in pool: PostgresPool) async throws -> Result {
        if let kept = directory.readAPIKey(),
            let found = try await APIKeys.authenticate(hash: Digest.sha256(kept), in: pool),
            found.environment.id == environment.id
        {
            return Result(apiKey: kept, isNewKey: false)
        }
        let draft = APIKeyDraft(mode: environment.mode)
        _ = try await APIKeys.insert(
            draft, environmentID: environment.id, name: "evergrant up", role: .full, expiresAt: nil, in: pool)
        try directory.write(apiKey: draft.text)
        return Result(apiKey: draft.text, isNewKey: true)
    }

    /// Enables the sandbox's integrations that the environment has never configured.
    private func offerSandbox(
        _ catalog: IntegrationCatalog, _ environment: EnvironmentRecord, _ vault: CredentialVault,
        in pool: PostgresPool
    ) async throws {
        let known = Set(try await IntegrationSettings.list(environmentID: environment.id, in: pool).map(\.integration))
        for integration in catalog.integrations where integration.reach.isSandbox && !known.contains(integration.id) {
            var app: OAuthAppRecord?
            if let provider = integration.providerID {
                let uid = "app_" + SecureRandom.hex()
                let sealed = try await vault.seal(
                    Secret(Self.sandboxClient.secret),
                    .clientSecret(environmentID: environment.id, appUID: uid, version: 1))
                app = try await OAuthApps.insert(
                    uid: uid, environmentID: environment.id, provider: provider, clientID: Self.sandboxClient.id,
                    sealedSecret: sealed, parameters: [:], in: pool)
            }
            _ = try await IntegrationSettings.put(
                environmentID: environment.id, integration: integration.id, isEnabled: true, oauthAppID: app?.id,
                scopes: nil, display: IntegrationDisplay(), in: pool)
        }
    }
}
