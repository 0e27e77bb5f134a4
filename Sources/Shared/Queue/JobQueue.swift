import Logging
import Postgres

/// The queue as its users see it: enqueue, look, cancel, retry. Holds no jobs itself.
package final class JobQueue: Sendable {
    /// Session settings that keep the plans of a worker's statements right however small the tables were when they were
    /// planned, for `PostgresConfiguration.settings` of a `JobRunner`'s pool. Only speed depends on them; behind a pooler
    /// in transaction mode give them to the role (`ALTER ROLE … SET`).
    package static let sessionSettings = [
        "plan_cache_mode": "force_generic_plan", "jit": "off", "enable_seqscan": "off",
    ]

    let pool: PostgresPool
    let names: QueueNames
    private let wakeUp: WakeUp
    let logger: Logger

    package init(pool: PostgresPool, logger: Logger) {
        self.pool = pool
        self.logger = logger
        names = QueueNames(pool: pool)
        wakeUp = WakeUp(pool: pool, logger: logger)
    }

    /// Wakes idle runners. For who enqueues in a transaction of its own: call it after the commit. Without it they find the
    /// jobs at their next poll, within 50 ms.
    package func wakeRunners() async { await wakeUp.jobsCame() }

    func wakeRunners(_ edges: [WakeUp.Edge]) async { if !edges.isEmpty { await wakeUp.jobsCame(edges) } }
}
