import Logging
import Postgres
import Queue

/// Job runners as a worker process has them, each with a pool of its own, all in this process.
struct RunnerFleet: Sendable {
    let runners: [JobRunner]
    private let pools: [PostgresPool]
    /// How they were set up, for the report.
    let settings: String

    init(
        _ count: Int, on database: QueueDatabase, handlers: [any JobHandler],
        _ configure: (inout JobRunnerConfiguration) -> Void
    ) {
        var configuration = JobRunnerConfiguration()
        configure(&configuration)
        // Beats, scout, settles, and each round trip.
        let connections = 3 + configuration.exchanges
        let pools = (0..<count).map { _ in database.workerPool(connections: connections) }
        self.pools = pools
        runners = pools.map {
            JobRunner(
                queue: JobQueue(pool: $0, logger: database.logger), pool: $0, handlers: handlers,
                configuration: configuration, logger: database.logger)
        }
        settings =
            "\(count) JobRunner\(count == 1 ? "" : "s"), claimBatch \(configuration.claimBatch), concurrency "
            + "\(configuration.concurrency), exchanges \(configuration.exchanges), batchWindow \(configuration.batchWindow), poll "
            + "\(configuration.pollInterval.lowerBound) to \(configuration.pollInterval.upperBound), "
            + (configuration.listens ? "listening" : "not listening")
    }

    /// Runs `body` beside the runners, then drains them, so that all they hold is settled at return.
    func whileRunning<Result: Sendable>(_ body: @Sendable () async throws -> Result) async throws -> Result {
        do {
            let result = try await withThrowingTaskGroup(of: Void.self) { group in
                for runner in runners { group.addTask { try await runner.run() } }
                let result = try await body()
                for runner in runners { runner.drain() }
                try await group.waitForAll()
                return result
            }
            await close()
            return result
        } catch {
            await close()
            throw error
        }
    }

    private func close() async { for pool in pools { await pool.close(grace: .zero) } }
}
