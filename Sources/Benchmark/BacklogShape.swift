import CQueueCeiling
import Postgres

/// What one claim of 100 (with the settle of the batch before it) costs with nothing else in the lane, with many jobs
/// waiting behind it, and with as many dead index entries before it that a held snapshot keeps from being cleaned.
///
/// One connection in C, so that nothing but the statement and its commit is timed. `from 0` is what the low-water mark
/// saves: the one claim in 30 s that does not use it.
struct BacklogShape: Sendable {
    let database: QueueDatabase
    let options: QueueBenchmarkOptions
    let say: @Sendable (String) -> Void
    static let batch = 100

    private struct Round: Sendable {
        let throughput: Throughput
        let p50: Double
        let p99: Double
    }

    /// Jobs taken in one round.
    private var taken: Int { min(30_000, max(1, options.backlog / (2 * options.pairs * Self.batch)) * Self.batch) }

    func run() async throws -> [Figure] {
        var empty: [Round] = []
        for _ in 0..<options.pairs {
            try await database.reset()
            empty.append(try await claim(from: try await database.fill(taken).lowerBound))
        }
        say("backlog: filling \(options.backlog)")
        try await database.reset()
        let first = try await database.fill(options.backlog).lowerBound
        var waiting: [Round] = []
        for round in 0..<options.pairs { waiting.append(try await claim(from: first + Int64(round * taken))) }
        say("backlog: making dead entries of what is left")
        let (behind, zero) = try await database.whileSnapshotIsHeld {
            try await database.run("delete from evergrant.jobs_ready")
            var behind: [Round] = []
            for _ in 0..<options.pairs {
                behind.append(try await claim(from: try await database.fill(taken).lowerBound))
            }
            try await database.fill(taken)
            return (behind, try await claim(from: 0, jobs: Self.batch))
        }
        let base = empty.map(\.p50).quantile(0.5)
        let baseServer = empty.compactMap { $0.throughput.consumption.server }.quantile(0.5)
        func figure(_ subject: String, _ rounds: [Round]) -> Figure {
            var measures = [
                Measure("claim, p50", "ms", rounds.map { $0.p50 * 1000 }),
                Measure("of empty", "", rounds.map { $0.p50 / base }),
                Measure("p99", "ms", rounds.map { $0.p99 * 1000 }),
            ]
            let server = rounds.compactMap { $0.throughput.consumption.server }
            if !server.isEmpty, baseServer > 0 {
                measures.append(Measure("server time of empty", "", server.map { $0 / baseServer }))
            }
            return Figure(
                shape: QueueShape.backlog.rawValue, variant: "\(options.backlog) jobs, batch \(Self.batch)",
                subject: subject, settings: "",
                measures: measures
                    + Throughput.measures(rounds.map(\.throughput)).filter {
                        $0.name == "server" || $0.name == "others"
                    })
        }
        return [
            figure("empty", empty), figure("that many waiting", waiting), figure("that many dead before it", behind),
            Figure(
                shape: QueueShape.backlog.rawValue, variant: "\(options.backlog) jobs, batch \(Self.batch)",
                subject: "the same from 0", settings: "one claim in 30 s of each runner",
                measures: [Measure("claim, p50", "ms", [zero.p50 * 1000])]),
        ]
    }

    private func claim(from low: Int64, jobs: Int? = nil) async throws -> Round {
        let jobs = jobs ?? taken
        let before = try await finished()
        let ceiling = Ceiling(
            mode: QUEUE_CEILING_DRAIN, connections: 1, batch: Self.batch, seconds: 3600, total: jobs, low: low)
        let (figures, consumption) = try await database.meter.measure { try await ceiling.run(on: database) }
        // The last exchange may have claimed more before it was told to stop; it settles that too.
        let after = try await finished()
        guard after - before == figures.settledInAll, figures.settledInAll >= jobs else {
            throw BenchmarkError(
                .wrongCount, "a round of claims settled \(figures.settledInAll) jobs and \(after - before) are finished"
            )
        }
        return Round(
            throughput: Throughput(jobs: figures.settledInAll, seconds: figures.seconds, consumption: consumption),
            p50: figures.p50, p99: figures.p99)
    }

    private func finished() async throws -> Int {
        Int(try await database.integers("select count(*) from evergrant.jobs_finished").first ?? 0)
    }
}
