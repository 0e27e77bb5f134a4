import Logging
import Postgres

/// Measures the queue: starts a server, runs the shapes one after another on a database of its own, and leaves nothing
/// behind.
package struct QueueBenchmark: Sendable {
    private let options: QueueBenchmarkOptions
    private let logger: Logger
    private let say: @Sendable (String) -> Void

    /// `say` gets a line of progress now and then.
    package init(
        _ options: QueueBenchmarkOptions, logger: Logger, say: @escaping @Sendable (String) -> Void = { _ in }
    ) {
        self.options = options
        self.logger = logger
        self.say = say
    }

    /// Takes minutes; cancelling ends it. Throws `BenchmarkError` when jobs were lost or repeated, and what the server
    /// throws.
    package func run() async throws -> QueueReport {
        let server = try await BenchmarkServer.start(options, logger: logger)
        do {
            let report = try await measure(server)
            await server.stop()
            return report
        } catch {
            await server.stop()
            throw error
        }
    }

    private func measure(_ server: BenchmarkServer) async throws -> QueueReport {
        var report = QueueReport(
            conditions: try await Conditions.read(
                from: server.pool, syncing: server.directory,
                connection: server.isPrivate ? "client and server on one machine, unix socket" : "server that was named"
            ))
        say(report.conditions.text)
        let url = try await server.makeMigratedDatabase("queue")
        let database = QueueDatabase(url: url, postmaster: try await server.postmaster(), logger: logger)
        do {
            for shape in options.shapes {
                report.figures += try await measure(shape, on: database, server)
            }
        } catch {
            await database.close()
            throw error
        }
        await database.close()
        return report
    }

    private func measure(
        _ shape: QueueShape, on database: QueueDatabase, _ server: BenchmarkServer
    ) async throws -> [Figure] {
        switch shape {
        case .life: try await LifeShape(database: database, server: server, options: options, say: say).run()
        case .burndown: try await BurndownShape(database: database, server: server, options: options, say: say).run()
        case .backlog: try await BacklogShape(database: database, options: options, say: say).run()
        case .heldSnapshot: try await HeldSnapshotShape(database: database, options: options, say: say).run()
        case .pickup: try await PickupShape(database: database, server: server, options: options, say: say).run()
        case .rescue: try await RescueShape(database: database, options: options, say: say).run()
        case .wal: try await LogShape(database: database, server: server, options: options, say: say).run()
        case .limits: try await LimitsShape(database: database, options: options, say: say).run()
        case .noisy: try await NoisyShape(database: database, options: options, say: say).run()
        }
    }
}
