import Logging
import Postgres
import Queue
import ServiceLifecycle
import UnixSignals

/// A worker as the product has one: a `JobRunner`, and the periodic duties beside it. Ends in order on SIGTERM.
struct WorkerProcess {
    private let orders: ProcessOrders
    private let history: HistoryFile
    private let logger: Logger

    init(_ orders: ProcessOrders, _ history: HistoryFile) {
        self.orders = orders
        self.history = history
        logger = Logger(label: orders.name) { _ in HistoryLog(history: history) }
    }

    func run() async throws {
        // Beats have connections of their own, as `JobRunner` asks for; effects and duties share others.
        let runnerPool = PostgresPool(
            orders.configuration(connections: 4, settings: JobQueue.sessionSettings), logger: logger)
        let effects = PostgresPool(orders.configuration(connections: 6), logger: logger)
        let duties = PostgresPool(orders.configuration(connections: 1), logger: logger)
        let runner = JobRunner(
            queue: JobQueue(pool: runnerPool, logger: logger), pool: runnerPool,
            handlers: ChaosKind.allCases.map {
                ChaosHandler($0, pool: effects, history: history, pace: orders.pace)
            }, configuration: configuration, logger: logger)
        let group = ServiceGroup(
            configuration: .init(
                services: [DutyLoop(QueueMaintenance(pool: duties, logger: logger)), runner],
                gracefulShutdownSignals: [.sigterm], logger: Logger(label: "group") { _ in SwiftLogNoOpLogHandler() }))
        try await group.run()
        for pool in [runnerPool, effects, duties] { await pool.close(grace: .zero) }
    }

    private var configuration: JobRunnerConfiguration {
        var configuration = JobRunnerConfiguration()
        configuration.name = orders.name
        configuration.concurrency = orders.pace.concurrency
        configuration.claimBatch = orders.pace.concurrency
        configuration.pollInterval = .milliseconds(5) ... .milliseconds(20)
        configuration.beatInterval = .milliseconds(orders.pace.beatInterval)
        configuration.beatTolerance = .milliseconds(orders.pace.beatTolerance)
        configuration.drainTimeout = .milliseconds(200)
        configuration.settleTimeout = .seconds(3)
        configuration.scoutInterval = .milliseconds(5)
        configuration.scoutThreshold = 1
        // Never: what a low-water mark passes over must stay lost, or the fence would not be proved.
        configuration.fullSearchInterval = .seconds(86_400)
        return configuration
    }
}

/// What the scheduler does in the product; any number of processes may do it at once.
struct DutyLoop: Service {
    private let maintenance: QueueMaintenance

    init(_ maintenance: QueueMaintenance) { self.maintenance = maintenance }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            var round = 0
            while !Task.isCancelled {
                round += 1
                // One that fails is done again in the next round; the runner's log tells of a database that is away.
                _ = try? await maintenance.promote()
                _ = try? await maintenance.foldWishes()
                if round % 4 == 0 { _ = try? await maintenance.repeatCancels() }
                if round % 10 == 0 { try? await maintenance.forgetWorkers() }
                try? await Task.sleep(for: .milliseconds(100))
            }
        }
    }
}
