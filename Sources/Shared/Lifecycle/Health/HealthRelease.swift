import Logging
import Postgres
import Store

/// An operator's word that a trouble is over: breaker, quarantine, wave and blocks of an OAuth app end at once, and who
/// waited is brought back. What is still wrong is found out again.
package struct HealthRelease: Sendable {
    private let health: ProviderHealth
    private let pool: PostgresPool

    package init(pool: PostgresPool, settings: HealthSettings, logger: Logger) {
        self.pool = pool
        health = ProviderHealth(pool: pool, settings: settings, logger: logger)
    }

    package init(_ services: LifecycleServices) {
        pool = services.pool
        health = services.health
    }

    /// - Parameter host: one endpoint; nil: all of the app.
    /// - Returns: endpoints released; 0 when the environment has no such app, or the app never had trouble there.
    package func release(environmentID: Int64, appUID: String, host: String?) async throws -> Int {
        let keys = try await TokenHosts.keys(environmentID: environmentID, appUID: appUID, host: host, in: pool)
        for key in keys { try await health.change(key) { health, row in health.release(at: row.now) } }
        try await health.bringBack()
        return keys.count
    }
}
