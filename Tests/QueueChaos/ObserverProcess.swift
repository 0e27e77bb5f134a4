import Logging
import Postgres
import Queue
import ServiceLifecycle
import UnixSignals

/// Watches workers and rescues what the dead ones held. Ends in order on SIGTERM.
struct ObserverProcess {
    private let orders: ProcessOrders
    private let logger: Logger

    init(_ orders: ProcessOrders, _ history: HistoryFile) {
        self.orders = orders
        logger = Logger(label: orders.name) { _ in HistoryLog(history: history) }
    }

    func run() async throws {
        let pool = PostgresPool(orders.configuration(connections: 2), logger: logger)
        var configuration = WorkerObserverConfiguration()
        configuration.name = orders.name
        configuration.patience = .milliseconds(orders.pace.patience)
        configuration.gap = orders.fault == .observer ? .seconds(3600) : .milliseconds(orders.pace.gap)
        configuration.interval = .milliseconds(orders.pace.interval)
        let observer = WorkerObserver(pool: pool, configuration: configuration, logger: logger)
        let service: any Service = orders.fault == .rescue ? FaultyRescue(observer: observer, pool: pool) : observer
        let group = ServiceGroup(
            configuration: .init(
                services: [service], gracefulShutdownSignals: [.sigterm],
                logger: Logger(label: "group") { _ in SwiftLogNoOpLogHandler() }))
        try await group.run()
        await pool.close(grace: .zero)
    }
}

/// An observer that rescues in one statement, whose snapshot is older than a settle which commits while the statement
/// comes to its lease: that settle's mark is not seen and the job runs again.
private struct FaultyRescue: Service {
    let observer: WorkerObserver
    let pool: PostgresPool

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                _ = try? await observer.observe()
                _ = try? await pool.execute(ChaosSQL.faultyRescue)
                try? await Task.sleep(for: .milliseconds(20))
            }
        }
    }
}
