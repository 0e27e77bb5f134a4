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
    package let timings: LifecycleTimings
    /// This process, as marks and the audit name it, for example `worker:host:1234`.
    package let owner: String
    package let logger: Logger
    /// All of them, except in tests.
    package let guards: ProtocolGuards

    package init(
        pool: PostgresPool, vault: CredentialVault, catalog: IntegrationCatalog, oauth: OAuthClient, queue: JobQueue,
        journal: EscrowJournal?, timings: LifecycleTimings = LifecycleTimings(), owner: String, logger: Logger,
        guards: ProtocolGuards = .all
    ) {
        self.pool = pool
        self.vault = vault
        self.catalog = catalog
        self.oauth = oauth
        self.queue = queue
        self.journal = journal
        self.timings = timings
        self.owner = owner
        self.logger = logger
        self.guards = guards
    }

    /// What the catalog says of a provider's lifetimes, with this installation's rhythm of probes.
    package func lifetimes(of provider: Provider?, integration: Integration) -> GrantLifetimes {
        GrantLifetimes(
            defaultAccessLife: provider?.lifetimes.access, idleLimit: provider?.lifetimes.idle,
            absoluteLimit: provider?.lifetimes.absolute,
            validateEvery: integration.probe == nil || timings.validateEvery == .zero ? nil : timings.validateEvery)
    }

    /// The OAuth app of a mark, with its secret opened. The redirect URI is empty: only connecting needs it.
    /// - Throws: `VaultError` when the secret does not open, ``InvalidValue`` when its parameters are not readable.
    func app(_ app: AppAtMark, environmentID: Int64) async throws -> OAuthApp {
        var secret: Secret?
        if let sealed = app.sealedSecret {
            secret = try await vault.open(
                sealed, .clientSecret(environmentID: environmentID, appUID: app.uid, version: app.secretVersion))
        }
        let settings = try OAuthAppSettings(json: app.parameters)
        return OAuthApp(
            clientID: app.clientID, clientSecret: secret, redirectURI: "", parameters: settings.parameters,
            replay: settings.replay)
    }

    /// Whether intents and answers of attempts under this rule are written to the journal.
    func isEscrowed(_ rule: ReplayRule) -> Bool { rule.replayClass.isEscrowed && guards.contains(.escrow) }

    /// The replay rule of a provider as this OAuth app has it.
    package func rule(provider: Provider, appParameters: [UInt8]) throws -> ReplayRule {
        let facts = try OAuthAppSettings(json: appParameters).replay ?? provider.replay
        return ReplayRule(replayClass: facts.replayClass, harm: facts.harm, attemptLength: timings.attemptLength)
    }
}
