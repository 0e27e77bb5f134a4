import Catalog
import Connect
import Credentials
import Egress
import Escrow
import Lifecycle
import Logging
import OAuth
import Postgres
import Queue
import Schema
import Store
import Vault

/// What front, scheduler and worker are made of: configuration turned into running parts, checked.
package struct ProcessServices: Sendable {
    package let role: ProcessRole
    package let configuration: EvergrantConfiguration
    package let pool: PostgresPool
    /// For a `JobRunner`: its sessions are set for the queue's statements.
    package let queuePool: PostgresPool
    package let egress: EgressClient
    package let lifecycle: LifecycleServices
    package let metrics: MetricsRegistry
    package let logger: Logger

    /// Assembles the parts and refuses to go on when one of them is not usable: the schema is not this binary's, the
    /// keyring does not open the newest data keys, the catalog has faults, the journal is not writable.
    ///
    /// Order: what needs no database first, so that a mistake there is told even when the database is away.
    /// - Throws: ``ConfigurationError``, `CatalogError`, `VaultError`, `EscrowError`, `PostgresError`, `SchemaError`.
    package static func assemble(
        _ configuration: EvergrantConfiguration, role: ProcessRole, metrics: MetricsRegistry, logger: Logger
    ) async throws -> ProcessServices {
        let catalog = try configuration.catalog.catalog()
        let keyring = try configuration.keyring.keyring()
        let postgres = try configuration.database.postgres(role)
        let queuePostgres = try configuration.database.queuePostgres(role)
        let journal = try journal(configuration, role: role, logger: logger)
        let pool = PostgresPool(postgres, logger: logger)
        do {
            try await SchemaMigrator(pool: pool, logger: logger).check()
            let vault = CredentialVault(keyring: keyring, repository: DataKeys(pool: pool), logger: logger)
            try await vault.check()
            let egress = EgressClient(configuration: configuration.egress, logger: logger)
            let lifecycle = LifecycleServices(
                pool: pool, vault: vault, catalog: catalog, oauth: OAuthClient(egress: egress),
                queue: JobQueue(pool: pool, logger: logger), journal: journal, timings: configuration.timings,
                owner: role.owner, logger: logger)
            return ProcessServices(
                role: role, configuration: configuration, pool: pool,
                queuePool: PostgresPool(queuePostgres, logger: logger), egress: egress, lifecycle: lifecycle,
                metrics: metrics, logger: logger)
        } catch {
            journal?.close()
            await pool.close()
            throw error
        }
    }

    /// Connecting, over the same parts.
    package var connect: ConnectFlow {
        var limits = configuration.connect
        limits.validateEvery = configuration.timings.validateEvery
        limits.planning = configuration.timings.planning
        return ConnectFlow(
            pool: pool, vault: lifecycle.vault, catalog: lifecycle.catalog, oauth: lifecycle.oauth,
            journal: lifecycle.journal, publicURL: configuration.front.publicURL, limits: limits, logger: logger)
    }

    /// Closes what `assemble` opened, in reverse. Call it when the services that use them have ended.
    package func close() async {
        await egress.close()
        await queuePool.close()
        lifecycle.journal?.close()
        await pool.close()
    }

    private static func journal(
        _ configuration: EvergrantConfiguration, role: ProcessRole, logger: Logger
    ) throws -> EscrowJournal? {
        guard role.needsJournal else { return nil }
        guard configuration.escrow.isEnabled else {
            logger.warning(
                """
                running without an escrow journal: a crash between a provider's answer and its commit loses the grant \
                at providers that rotate strictly
                """)
            return nil
        }
        return try EscrowJournal(.init(directory: configuration.escrow.directory), logger: logger)
    }
}
