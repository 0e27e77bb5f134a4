import Catalog
import Connect
import Egress
import Lifecycle
import Logging
import Postgres
import Queue
import Vault
import Webhooks

/// The parts the front is assembled from. Bootstrap makes them; tests make their own.
package struct FrontServices: Sendable {
    package let lifecycle: LifecycleServices
    package let refresher: CredentialRefresher
    package let connect: ConnectFlow
    package let egress: EgressClient
    package let webhooks: WebhookConfiguration
    /// The metrics of this process in Prometheus text format 0.0.4.
    package let prometheusText: @Sendable () -> String

    package init(
        lifecycle: LifecycleServices, refresher: CredentialRefresher, connect: ConnectFlow, egress: EgressClient,
        webhooks: WebhookConfiguration, prometheusText: @escaping @Sendable () -> String
    ) {
        self.lifecycle = lifecycle
        self.refresher = refresher
        self.connect = connect
        self.egress = egress
        self.webhooks = webhooks
        self.prometheusText = prometheusText
    }

    var pool: PostgresPool { lifecycle.pool }
    var vault: CredentialVault { lifecycle.vault }
    var catalog: IntegrationCatalog { lifecycle.catalog }
    var queue: JobQueue { lifecycle.queue }
    var logger: Logger { lifecycle.logger }
}
