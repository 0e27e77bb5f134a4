import Pacing
import Postgres

/// What a stretch of time consumed.
struct Consumption: Sendable {
    let seconds: Double
    /// Processor seconds; nil when they cannot be seen.
    let server: Double?
    let client: Double
    let connections: Double
    let foreign: Double?
    /// Bytes of write-ahead log.
    let wal: Double
}

/// Reads clocks and counters at the ends of a measurement.
struct Meter: Sendable {
    struct Reading: Sendable {
        let at: BootInstant
        let times: ProcessorTimes
        let wal: UInt64
    }

    let pool: PostgresPool
    let postmaster: Int32?

    /// The end of the write-ahead log, in bytes.
    func walPosition() async throws -> UInt64 {
        let rows = try await pool.execute(
            PostgresStatement(
                "read end of log", "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"))
        guard let row = rows.first else { return 0 }
        let position = try row.decode(Int64.self)
        return UInt64(clamping: position)
    }

    /// `helper`: a second process that does part of the client's work.
    func read(with helper: Int32? = nil) async throws -> Reading {
        let wal = try await walPosition()
        return Reading(at: .now(), times: .read(server: postmaster, helper: helper), wal: wal)
    }

    func consumption(from start: Reading, to end: Reading) -> Consumption {
        let seconds = start.at.duration(to: end.at).seconds
        let server = end.times.server.flatMap { end in start.times.server.map { end - $0 } }
        let client = end.times.client - start.times.client + end.times.helper - start.times.helper
        let machine = end.times.machine - start.times.machine
        return Consumption(
            seconds: seconds, server: server, client: client,
            connections: end.times.connections - start.times.connections,
            foreign: server.map { max(0, machine - $0 - client) / seconds }, wal: Double(end.wal - start.wal))
    }

    func measure<Result>(_ body: () async throws -> Result) async throws -> (Result, Consumption) {
        let start = try await read()
        let result = try await body()
        return (result, consumption(from: start, to: try await read()))
    }
}

/// One round of a throughput shape.
struct Throughput: Sendable {
    let jobs: Int
    let seconds: Double
    /// Of `jobs` jobs, or of `consumedJobs` when it covers more time than `seconds`.
    let consumption: Consumption
    var consumedJobs: Int

    init(jobs: Int, seconds: Double, consumption: Consumption, consumedJobs: Int? = nil) {
        self.jobs = jobs
        self.seconds = seconds
        self.consumption = consumption
        self.consumedJobs = consumedJobs ?? jobs
    }

    var rate: Double { Double(jobs) / seconds }
    private func each(_ value: Double) -> Double { value / Double(max(1, consumedJobs)) }

    /// The columns of a throughput table.
    static func measures(_ rounds: [Throughput], ceiling: [Throughput]? = nil) -> [Measure] {
        var measures = [Measure("rate", "jobs/s", rounds.map(\.rate))]
        if let ceiling { measures.append(Measure("of C", "", zip(rounds, ceiling).map { $0.rate / $1.rate })) }
        let server = rounds.compactMap { round in round.consumption.server.map { round.each($0) * 1e6 } }
        if !server.isEmpty { measures.append(Measure("server", "µs/job", server)) }
        measures.append(Measure("client", "µs/job", rounds.map { $0.each($0.consumption.client) * 1e6 }))
        let threads = rounds.map { $0.each($0.consumption.connections) * 1e6 }
        if threads.contains(where: { $0 > 0 }) { measures.append(Measure("in libpq threads", "µs/job", threads)) }
        measures.append(Measure("WAL", "B/job", rounds.map { $0.each($0.consumption.wal) }))
        let foreign = rounds.compactMap { $0.consumption.foreign.map { $0 * 100 } }
        if !foreign.isEmpty { measures.append(Measure("others", "% of a core", foreign)) }
        return measures
    }
}
