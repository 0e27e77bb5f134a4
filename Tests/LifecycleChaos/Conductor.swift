import EmbeddedPostgres
import Foundation
import LifecycleSupport
import Logging
import Postgres
import Schema
import TestSupport

/// Makes a run: a private database, a world on it, the histories, the fleet, and the verdict.
struct Conductor: Sendable {
    let options: ConductOptions

    init(_ options: ConductOptions) { self.options = options }

    func conduct() async throws -> Report {
        var report = Report(options)
        if options.histories > 0 {
            report.histories = try await onCluster("histories") { database in
                var result = HistoriesReport()
                try await LifecycleWorld.on(database, timings: Histories.timings, window: HistoryPlayer.window) {
                    world in
                    result = try await Histories(count: options.histories, seed: options.seed).play(in: world)
                }
                return result
            }
        }
        return report
    }

    /// A private cluster with the whole schema; gone afterwards.
    private func onCluster<Result: Sendable>(
        _ name: String, _ body: (TestDatabase) async throws -> Result
    ) async throws -> Result {
        let directory = "/tmp/lifecycle-chaos-\(getpid())-\(name)"
        let logger = Logger(label: "conductor") { _ in SwiftLogNoOpLogHandler() }
        let cluster = EmbeddedCluster(directory: directory, durable: false, logger: logger)
        do {
            let url = try await cluster.start()
            let pool = PostgresPool(PostgresConfiguration(url: url), logger: logger)
            try await SchemaMigrator(pool: pool, logger: logger).migrate()
            await pool.close()
            let result = try await body(TestDatabase(at: url))
            await cluster.destroy()
            return result
        } catch {
            await cluster.destroy()
            throw error
        }
    }
}
