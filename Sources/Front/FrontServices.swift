import Catalog
import Connect
import Egress
import Lifecycle
import Logging
import Postgres
import Queue
import Vault

/// The parts the front is assembled from. Bootstrap makes them; tests make their own.
package struct FrontServices: Sendable {
    package let pool: PostgresPool
    package let vault: CredentialVault
    package let catalog: IntegrationCatalog
    package let egress: EgressClient
    package let connect: ConnectFlow
    package let refresher: CredentialRefresher
    package let queue: JobQueue
    /// The metrics of this process in Prometheus text format 0.0.4.
    package let prometheusText: @Sendable () -> String
    package let logger: Logger

    package init(
        pool: PostgresPool, vault: CredentialVault, catalog: IntegrationCatalog, egress: EgressClient,
        connect: ConnectFlow, refresher: CredentialRefresher, queue: JobQueue,
        prometheusText: @escaping @Sendable () -> String, logger: Logger
    ) {
        self.pool = pool
        self.vault = vault
        self.catalog = catalog
        self.egress = egress
        self.connect = connect
        self.refresher = refresher
        self.queue = queue
        self.prometheusText = prometheusText
        self.logger = logger
    }
}
