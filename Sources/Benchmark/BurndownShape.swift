import CQueueCeiling
import Pacing
import Queue

/// A queue filled beforehand is emptied: claim and settle with history, no enqueue.
///
/// The clock runs from the start of the runners to the last settle. The filling and a checkpoint after it are outside; so
/// the first touch of each page writes its full image to the log, as after any checkpoint.
struct BurndownShape: Sendable {
    let database: QueueDatabase
    let server: BenchmarkServer
    let options: QueueBenchmarkOptions
    let say: @Sendable (String) -> Void
    static let batch = 100

    func run() async throws -> [Figure] {
        let jobs = options.jobs / Self.batch * Self.batch
        var ceiling: [Throughput] = []
        var ours: [Throughput] = []
        var settings = ""
        var others: [[PublicQueue.Round]] = PublicQueue.all.map { _ in [] }
        for pair in 1...max(1, options.pairs) {
            try await database.reset()
            try await database.fill(jobs)
            ceiling.append(try await drive(jobs))
            try await database.reset()
            try await database.fill(jobs)
            let (throughput, words) = try await empty(jobs)
            ours.append(throughput)
            settings = words
            if options.python != nil {
                for (place, queue) in PublicQueue.all.enumerated() {
                    others[place].append(
                        try await queue.run(
                            .init(
                                shape: QueueShape.burndown.rawValue, batch: Self.batch, jobs: min(jobs, queue.mostJobs)),
                            on: server, meter: database.meter, options))
                }
            }
            say(
                "burndown, \(pair) of \(options.pairs): C \(Int(ceiling.last?.rate ?? 0)) jobs/s, evergrant "
                    + "\(Int(throughput.rate))")
        }
        let variant = "\(jobs) jobs, batch \(Self.batch)"
        func figure(_ subject: String, _ settings: String, _ rounds: [Throughput]) -> Figure {
            Figure(
                shape: QueueShape.burndown.rawValue, variant: variant, subject: subject, settings: settings,
                measures: Throughput.measures(rounds, ceiling: ceiling))
        }
        return [
            figure("libpq in C", "\(options.connections) connections", ceiling),
            figure(LifeShape.ours, settings, ours),
        ]
            + others.compactMap { rounds in
                rounds.first.map {
                    figure($0.subject, "\($0.throughput.jobs) jobs, \($0.settings)", rounds.map(\.throughput))
                }
            }
    }

    private func drive(_ jobs: Int) async throws -> Throughput {
        let ceiling = Ceiling(
            mode: QUEUE_CEILING_DRAIN, connections: options.connections, batch: Self.batch, seconds: 3600, total: jobs)
        let (figures, consumption) = try await database.meter.measure { try await ceiling.run(on: database) }
        try await database.check(finished: jobs, waiting: 0, after: "the burn-down in C")
        return Throughput(jobs: jobs, seconds: figures.seconds, consumption: consumption)
    }

    private func empty(_ jobs: Int) async throws -> (Throughput, String) {
        let gate = Gate(ahead: 0, step: Self.batch)
        let fleet = RunnerFleet(options.runners, on: database, handlers: [NoOpHandler { _ in gate.finish() }]) {
            $0.claimBatch = Self.batch
            $0.exchanges = options.exchanges
            $0.concurrency = 2 * options.exchanges * Self.batch
        }
        let (seconds, consumption) = try await database.meter.measure {
            let began = BootInstant.now()
            try await fleet.whileRunning { await gate.wait(for: jobs) }
            return began.duration(to: .now()).seconds
        }
        try await database.check(finished: jobs, waiting: 0, after: "the burn-down")
        return (Throughput(jobs: jobs, seconds: seconds, consumption: consumption), fleet.settings)
    }
}
