import Catalog
import Credentials
import Escrow
import Foundation
import Logging
import OAuth
import Pacing
import Postgres
import Queue
import Store
import Vault

/// What every part of the lifecycle works with.
package struct LifecycleServices: Sendable {
    package let pool: PostgresPool
    package let vault: CredentialVault
    package let catalog: IntegrationCatalog
    package let oauth: OAuthClient
    package let queue: JobQueue
    /// Nil only where the operator said `--no-escrow`.
    package let journal: EscrowJournal?
    /// What this process knows of the database server.
    package let server: ServerWatch
    package let timings: LifecycleTimings
    package let limits: RefreshLimits
    /// Marks of attempts that begin together, and commits of answers that come together, share round trip and log flush.
    package let marks: SharedPipeline
    package let commits: SharedPipeline
    /// What is known of providers' troubles.
    package let health: ProviderHealth
    /// This process, as marks and the audit name it, for example `worker:host:1234`.
    package let owner: String
    package let logger: Logger

    package init(
        pool: PostgresPool, vault: CredentialVault, catalog: IntegrationCatalog, oauth: OAuthClient, queue: JobQueue,
        journal: EscrowJournal?, timings: LifecycleTimings = LifecycleTimings(), owner: String, logger: Logger
    ) {
        self.pool = pool
        self.vault = vault
        self.catalog = catalog
        self.oauth = oauth
        self.queue = queue
        self.journal = journal
        server = ServerWatch(directory: journal?.directory)
        self.timings = timings
        marks = SharedPipeline(pool: pool)
        commits = SharedPipeline(pool: pool)
        limits = RefreshLimits(pool: pool, queue: queue, catalog: catalog)
        var settings = timings.health
        settings.quarantineProbe = timings.quarantineProbe
        health = ProviderHealth(pool: pool, settings: settings, logger: logger)
        self.owner = owner
        self.logger = logger
    }

    /// What the catalog says of a provider's lifetimes, with this installation's rhythm of probes and what the operator set
    /// for the OAuth app.
    package func lifetimes(
        of provider: Provider?, integration: Integration, app: AppPlanning = AppPlanning()
    ) -> GrantLifetimes {
        GrantLifetimes(
            defaultAccessLife: provider?.lifetimes.access, idleLimit: provider?.lifetimes.idle,
            absoluteLimit: provider?.lifetimes.absolute,
            validateEvery: validationRhythm(of: integration), rules: timings.planning
        ).overridden(by: app)
    }

    /// How often an integration is probed unless its environment says otherwise; nil: not at all.
    package func validationRhythm(of integration: Integration) -> Duration? {
        guard let probe = integration.probe, timings.validateEvery != .zero else { return nil }
        return probe.every ?? timings.validateEvery
    }

    /// The OAuth app of a mark, with its secret opened. The redirect URI is empty: only connecting needs it.
    /// - Throws: `VaultError` when the secret does not open, ``InvalidValue`` when its parameters are not readable.
    func app(_ app: AppAtMark, environmentID: Int64) async throws -> OAuthApp {
        let secrets = try await ClientSecrets(app, environmentID: environmentID).opened(by: vault)
        var spare: SpareSecret?
        if let second = secrets.second {
            let (pool, logger, id) = (pool, logger, app.id)
            spare = SpareSecret(secret: second.secret) {
                await ClientSecrets.remember(id, works: second.version, in: pool, logger: logger)
            }
        }
        let settings = try OAuthAppSettings(json: app.parameters)
        return OAuthApp(
            clientID: app.clientID, clientSecret: secrets.first, redirectURI: "", parameters: settings.parameters,
            replay: settings.replay, spare: spare)
    }

    /// The replay rule of a provider as this OAuth app has it.
    package func rule(provider: Provider, appParameters: [UInt8]) throws -> ReplayRule {
        let facts = try OAuthAppSettings(json: appParameters).replay ?? provider.replay
        return ReplayRule(replayClass: facts.replayClass, harm: facts.harm, attemptLength: timings.attemptLength)
    }
}
