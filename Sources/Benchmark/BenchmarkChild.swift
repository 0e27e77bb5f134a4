import CTokenServer
import Foundation
import Logging
import Postgres
import Queue

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// The second process of shapes that need one: this program again, with its orders in a variable of its environment, so
/// that no URL with a password shows in process lists. Ends when its standard input does.
package enum BenchmarkChild {
    /// What the process is to do.
    struct Orders: Codable, Sendable {
        enum Role: String, Codable, Sendable {
            /// A worker whose jobs never end, with beats as in production.
            case hold
            /// Enqueues single jobs, each with the time of the call.
            case probe
        }
        var role: Role
        var url: String
        /// `hold`: jobs at a time. `probe`: jobs in all.
        var count: Int
        /// `probe`: the time between two jobs is drawn from 0 to twice this, in milliseconds.
        var pause: Double = 0
        /// `hold`: seconds between two beats.
        var beat: Double = 5
    }

    static let variable = "EVERGRANT_BENCH_ORDERS"

    /// Does what the environment orders. Throws `BenchmarkError` without orders.
    package static func run(logger: Logger) async throws {
        if let text = ProcessInfo.processInfo.environment[TokenServerOrders.variable] {
            return try await serveTokens(JSONDecoder().decode(TokenServerOrders.self, from: Data(text.utf8)))
        }
        guard let text = ProcessInfo.processInfo.environment[variable],
            let orders = try? JSONDecoder().decode(Orders.self, from: Data(text.utf8))
        else { throw BenchmarkError(.invalid, "only `bench queue` starts this command") }
        let watch = Thread {
            while let data = try? FileHandle.standardInput.read(upToCount: 1024), !data.isEmpty {}
            exit(0)
        }
        watch.name = "stdin"
        watch.start()
        let database = QueueDatabase(url: orders.url, postmaster: nil, logger: logger)
        switch orders.role {
        case .hold: try await hold(database, orders)
        case .probe: try await probe(database, orders)
        }
        await database.close()
    }

    /// A provider's token endpoint; writes its port as its first line.
    private static func serveTokens(_ orders: TokenServerOrders) async throws {
        var port: Int32 = 0
        let server = (orders.certificate ?? "").withCString { path in
            var options = token_server_options()
            options.latency_us = orders.latency
            options.tls = orders.certificate == nil ? 0 : 1
            options.certificate = path
            options.expires_in = 3600
            return token_server_open(&options, &port)
        }
        guard let server else {
            throw BenchmarkError(.failed, "the provider cannot listen: \(String(cString: strerror(errno)))")
        }
        print(port)
        fflush(nil)
        // Its loop has this thread for itself until the process is ended.
        let status = token_server_run(server)
        throw BenchmarkError(.failed, "the provider ended: \(String(cString: strerror(status)))")
    }

    private static func hold(_ database: QueueDatabase, _ orders: Orders) async throws {
        let handler = NeverHandler(kind: QueueDatabase.kind)
        let fleet = RunnerFleet(1, on: database, handlers: [handler]) {
            $0.name = "bench-hold"
            $0.concurrency = orders.count
            $0.beatInterval = .seconds(orders.beat)
        }
        try await fleet.whileRunning { try await Task.sleep(for: .seconds(3600)) }
    }

    private static func probe(_ database: QueueDatabase, _ orders: Orders) async throws {
        let pool = database.workerPool(connections: 1)
        let queue = JobQueue(pool: pool, logger: database.logger)
        for _ in 0..<orders.count {
            try await Task.sleep(for: .milliseconds(Double.random(in: 0...2) * orders.pause))
            try await queue.enqueue([Probe.job()])
        }
        await pool.close()
    }
}

/// Never ends by itself.
private struct NeverHandler: JobHandler {
    let kind: String
    func perform(_ job: LeasedJob, settlement: JobSettlement) async throws -> JobOutcome {
        try await Task.sleep(for: .seconds(86_400))
        return .complete
    }
}
