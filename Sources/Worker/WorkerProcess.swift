import Bootstrap
import Connect
import Egress
import Lifecycle
import Logging
import Postgres
import Queue
import ServiceLifecycle
import Webhooks

/// A worker: performs jobs until it is told to stop, and keeps nothing but its escrow journal.
package struct WorkerProcess: Sendable {
    private let recovery: EscrowRecovery
    private let health: ProviderHealthService
    private let runner: JobRunner
    private let refresher: CredentialRefresher

    /// - Parameter queuePool: sessions set for the queue's statements; see `DatabaseConfiguration.queuePostgres`.
    package init(
        lifecycle: LifecycleServices, queuePool: PostgresPool, egress: EgressClient, connect: ConnectFlow,
        webhooks: WebhookConfiguration, runner configuration: JobRunnerConfiguration
    ) {
        recovery = EscrowRecovery(lifecycle, connect: connect, logger: lifecycle.logger)
        refresher = CredentialRefresher(lifecycle)
        health = ProviderHealthService(lifecycle)
        let attempts = RefreshAttempts(lifecycle)
        let handlers: [any JobHandler] = [
            RefreshHandler(attempts: attempts), RecoverHandler(attempts: attempts),
            ValidateHandler(validation: ConnectionValidation(lifecycle, refresher: refresher)),
            RevokeHandler(revocation: ConnectionRevocation(lifecycle)),
            DeliverWebhookHandler(
                pool: lifecycle.pool, queue: lifecycle.queue, vault: lifecycle.vault, egress: egress,
                configuration: webhooks, logger: lifecycle.logger),
        ]
        runner = JobRunner(
            queue: lifecycle.queue, pool: queuePool, handlers: handlers, configuration: configuration,
            logger: lifecycle.logger)
    }

    /// Drains abandoned journals; call it before ``services()`` run: answers come before new work.
    package func prepare() async { await recovery.drain() }

    /// In the order of their dependence; shutdown reverses it, so the runner drains first.
    package func services() -> [any Service] { [recovery, health, runner] }

    /// Waits for refreshes that a probe began.
    package func finish() async { await refresher.drain() }
}
