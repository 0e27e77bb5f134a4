import Bootstrap
import Connect
import Credentials
import Lifecycle
import Logging
import Metrics
import Pacing
import Postgres
import Queue
import ServiceLifecycle
import Store
import Webhooks

/// A scheduler: finds what is due and enqueues it, rescues what dead workers held, gives events their place in the
/// feed, prunes. Run as many as you like.
package struct SchedulerProcess: Sendable {
    private let duties: [PeriodicDuty]
    private let observer: WorkerObserver

    /// - Parameters:
    ///   - sweepInterval: between two looks for connections that are due.
    ///   - batch: connections planned by one statement.
    ///   - sealInterval: between two seals of the audit.
    ///   - keepAudit: how long rows of the audit stay.
    package init(
        lifecycle: LifecycleServices, connect: ConnectFlow, webhooks: WebhookConfiguration, sweepInterval: Duration,
        batch: Int, sealInterval: Duration = .seconds(5), keepAudit: Duration = .seconds(400 * 86_400),
        observer configuration: WorkerObserverConfiguration = WorkerObserverConfiguration()
    ) {
        let logger = lifecycle.logger
        let planner = LifecyclePlanner(lifecycle, batch: batch)
        let refreshes = RefreshPlanner(planner: planner, queue: lifecycle.queue, batch: batch)
        let validations = ValidationPlanner(planner: planner, queue: lifecycle.queue, batch: batch)
        let dispatcher = WebhookDispatcher(pool: lifecycle.pool, queue: lifecycle.queue, configuration: webhooks)
        let revocation = ConnectionRevocation(lifecycle)
        let imports = GrantImport(lifecycle)
        let erasure = IdentityErasure(lifecycle)
        let pool = lifecycle.pool
        let server = JournalReplay(lifecycle) { _ in }
        let providers = ProviderHealthMeter(pool: pool)
        let sealer = AuditSealer(pool: pool)
        duties =
            [
                PeriodicDuty(name: "watch_server", interval: lifecycle.timings.serverWatch, logger: logger) {
                    try await server.step()
                    return false
                },
                PeriodicDuty(name: "plan_refreshes", interval: sweepInterval, logger: logger) {
                    try await refreshes.plan()
                },
                PeriodicDuty(name: "plan_recoveries", interval: sweepInterval, logger: logger) {
                    _ = try await planner.planRecoveries()
                    return false
                },
                PeriodicDuty(name: "plan_validations", interval: sweepInterval, logger: logger) {
                    try await validations.plan()
                },
                PeriodicDuty(name: "tell_ends", interval: .seconds(15), logger: logger) {
                    try await planner.tellEnds() >= batch
                },
                PeriodicDuty(name: "plan_revocations", interval: sweepInterval, logger: logger) {
                    try await planner.planRevocations() >= batch
                },
                PeriodicDuty(name: "apply_imports", interval: .seconds(1), logger: logger) {
                    try await imports.apply()
                },
                PeriodicDuty(name: "finish_erasures", interval: .seconds(5), logger: logger) {
                    try await erasure.finish()
                },
                PeriodicDuty(name: "sweep_imports", interval: .seconds(60), logger: logger) {
                    try await imports.sweep()
                    return false
                },
                PeriodicDuty(name: "sequence_events", interval: .milliseconds(150), logger: logger) {
                    try await dispatcher.dispatch(limit: 500) == 500
                },
                PeriodicDuty(name: "sweep_deliveries", interval: .seconds(60), logger: logger) {
                    try await dispatcher.sweep(limit: 500) == 500
                },
                PeriodicDuty(name: "measure_providers", interval: .seconds(10), logger: logger) {
                    try await providers.measure()
                    return false
                },
                PeriodicDuty(name: "prune_held_verdicts", interval: .seconds(3600), logger: logger) {
                    try await HeldVerdicts.prune(in: pool)
                    return false
                },
                PeriodicDuty(name: "prune_events", interval: .seconds(600), logger: logger) {
                    try await dispatcher.prune()
                },
                PeriodicDuty(name: "seal_audit", interval: sealInterval, logger: logger) {
                    let isMore = try await sealer.seal().isMore
                    Gauge(label: "audit_unsealed_seconds").record(try await sealer.lag())
                    return isMore
                },
                PeriodicDuty(name: "prune_audit", interval: .seconds(3600), logger: logger) {
                    try await sealer.prune(olderThan: keepAudit, limit: 50) >= 50
                },
                PeriodicDuty(name: "sweep_sessions", interval: .seconds(60), logger: logger) {
                    try await connect.sweep { id in
                        guard let row = try await Connections.find(id: id, in: pool) else { return }
                        _ = try await revocation.request(
                            uid: row.uid, environmentID: row.environmentID, actor: "scheduler:unfinished")
                    }
                    return false
                },
            ]
            + JobHousekeeper(
                maintenance: QueueMaintenance(pool: lifecycle.pool, logger: logger), queue: lifecycle.queue
            ).duties(logger: logger)
        observer = WorkerObserver(pool: lifecycle.pool, configuration: configuration, logger: logger)
    }

    package func services() -> [any Service] { [observer] + duties }
}
