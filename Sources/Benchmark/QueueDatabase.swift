import Logging
import Postgres
import Queue

/// A database with the schema, emptied before every round, and the pools that work on it.
final class QueueDatabase: Sendable {
    /// All measured jobs are of this environment, queue and kind unless the shape says otherwise.
    static let environmentID: Int64 = 1
    static let queueName = "default"
    static let kind = "bench.noop"

    let url: String
    /// For the measurement itself: its statements are not measured.
    let pool: PostgresPool
    let meter: Meter
    let logger: Logger
    /// What a job carries.
    let payloads: [[UInt8]]

    init(url: String, postmaster: Int32?, logger: Logger) {
        self.url = url
        self.logger = logger
        var configuration = PostgresConfiguration(url: url)
        configuration.maximumConnections = 3
        configuration.statementTimeout = .seconds(3600)
        configuration.applicationName = "evergrant-bench"
        pool = PostgresPool(configuration, logger: logger)
        meter = Meter(pool: pool, postmaster: postmaster)
        payloads = (0..<1000).map { number in
            let trace = String(UInt64(number + 1) &* 0x9E37_79B9_7F4A_7C15, radix: 16)
            let id = String(repeating: "0", count: 10 - String(number).count) + String(number)
            return Array(
                #"{"connection_id":"c_\#(id)","operation":"refresh","provider":"google","trace":"\#(trace)"}"#.utf8)
        }
    }

    func close() async { await pool.close() }

    /// A pool as a worker's: its own sessions, with the queue's settings.
    func workerPool(connections: Int) -> PostgresPool {
        var configuration = PostgresConfiguration(url: url)
        configuration.maximumConnections = connections
        configuration.settings = JobQueue.sessionSettings
        configuration.applicationName = "evergrant-bench-worker"
        return PostgresPool(configuration, logger: logger)
    }

    func job(_ number: Int, environmentID: Int64 = environmentID, kind: String = kind) -> NewJob {
        NewJob(kind: kind, arguments: payloads[number % payloads.count], environmentID: environmentID)
    }

    func run(_ sql: String) async throws { try await pool.executeScript(PostgresStatement("prepare measurement", sql)) }

    func integers(_ sql: String) async throws -> [Int64] {
        let rows = try await pool.execute(PostgresStatement("look at jobs", sql))
        return try rows.map { try $0.decode(Int64.self) }
    }

    /// No jobs, no history, no workers; names stay. Then a checkpoint, so that each round begins alike.
    func reset() async throws {
        try await run(
            """
            truncate evergrant.jobs_ready, evergrant.jobs_scheduled, evergrant.jobs_parked, evergrant.jobs_discarded,
                evergrant.leases, evergrant.lease_marks, evergrant.job_keys, evergrant.job_wishes, evergrant.workers,
                evergrant.job_cancels, evergrant.limits, evergrant.limit_holds, evergrant.jobs_finished;
            """)
        // Needs a superuser or pg_checkpoint; without, rounds differ by where the server's own checkpoints fall.
        try? await run("checkpoint")
    }

    /// Makes the names of the usual queue and kind; their ids.
    func names() async throws -> (queue: Int32, kind: Int32) {
        let queues = try await pool.execute(
            HotPath.nameQueues, [.int8Array([Self.environmentID]), .textArray([Self.queueName])])
        let kinds = try await pool.execute(HotPath.nameKinds, [.textArray([Self.kind])])
        guard let queue = queues.first, let kind = kinds.first else {
            throw BenchmarkError(.failed, "queue and kind could not be made")
        }
        return (try queue.decode(Int32.self), try kind.decode(Int32.self))
    }

    /// Which server low-water marks are from.
    func serverStart() async throws -> Double {
        let rows = try await pool.execute(
            PostgresStatement("read start", "select extract(epoch from pg_postmaster_start_time())::float8"))
        return try rows.first?.decode(Double.self) ?? 0
    }

    /// Throws unless exactly `finished` jobs are in the history, `waiting` in line, and nothing is held.
    func check(finished: Int, waiting: Int, after what: String) async throws {
        let counts = try await integers(
            """
            select unnest(array[(select count(*) from evergrant.jobs_finished),
                (select count(*) from evergrant.jobs_ready), (select count(*) from evergrant.leases)])
            """)
        guard counts == [Int64(finished), Int64(waiting), 0] else {
            throw BenchmarkError(
                .wrongCount,
                "after \(what): finished, waiting and leases should be \(finished), \(waiting) and 0, and are "
                    + counts.map(String.init).joined(separator: ", "))
        }
    }
}
