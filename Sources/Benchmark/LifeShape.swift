import CQueueCeiling

/// A job's whole life with history, in a closed loop, at several batches.
///
/// Sides, in turns: C with enqueue, settle and claim in one commit (the ceiling); C with enqueuers apart, as an app's are
/// (two commits); our Postgres module with the ceiling's statements; and the queue as it is used.
struct LifeShape: Sendable {
    static let shape = QueueShape.life.rawValue
    static let ours = "evergrant"
    static let ceiling = "libpq in C, one commit"

    let database: QueueDatabase
    let server: BenchmarkServer
    let options: QueueBenchmarkOptions
    let say: @Sendable (String) -> Void

    func run() async throws -> [Figure] {
        var figures: [Figure] = []
        for batch in options.batches { figures += try await run(batch: batch) }
        return figures
    }

    private func run(batch: Int) async throws -> [Figure] {
        let loop = ClosedLoop(
            batch: batch, runners: options.runners, exchanges: options.exchanges, enqueuers: options.enqueuers)
        var ceiling: [Throughput] = []
        var split: [Throughput] = []
        var statements: [Throughput] = []
        var ours: [Throughput] = []
        var settings = ""
        var others: [[PublicQueue.Round]] = PublicQueue.all.map { _ in [] }
        for pair in 1...max(1, options.pairs) {
            try await database.reset()
            ceiling.append(try await drive(QUEUE_CEILING_LIFE, batch: batch, loop))
            try await database.reset()
            let outcome = try await loop.run(on: database, seconds: options.seconds)
            ours.append(outcome.throughput)
            settings = outcome.settings
            try await database.reset()
            split.append(try await drive(QUEUE_CEILING_SPLIT, batch: batch, loop))
            try await database.reset()
            statements.append(
                try await StatementLoop(batch: batch, connections: options.connections).run(
                    on: database, seconds: options.seconds))
            if options.python != nil {
                for (place, queue) in PublicQueue.all.enumerated() {
                    others[place].append(
                        try await queue.run(
                            .init(shape: Self.shape, batch: batch, seconds: options.seconds), on: server,
                            meter: database.meter, options))
                }
            }
            say(
                "life, batch \(batch), \(pair) of \(options.pairs): C \(Int(ceiling.last?.rate ?? 0)) jobs/s, "
                    + "evergrant \(Int(ours.last?.rate ?? 0))")
        }
        func figure(_ subject: String, _ settings: String, _ rounds: [Throughput]) -> Figure {
            Figure(
                shape: Self.shape, variant: "batch \(batch)", subject: subject, settings: settings,
                measures: Throughput.measures(rounds, ceiling: ceiling))
        }
        return [
            figure(
                Self.ceiling, "\(options.connections) connections, enqueue + settle + claim in one pipeline", ceiling),
            figure(
                "libpq in C, two commits",
                "\(options.enqueuers) connections enqueue, \(options.connections) settle and claim", split),
            figure("Postgres module", "as C in one commit, rows decoded", statements),
            figure(Self.ours, settings, ours),
        ]
            + others.compactMap { rounds in
                rounds.first.map { figure($0.subject, $0.settings, rounds.map(\.throughput)) }
            }
    }

    private func drive(_ mode: queue_ceiling_mode, batch: Int, _ loop: ClosedLoop) async throws -> Throughput {
        let ceiling = Ceiling(
            mode: mode, connections: options.connections, enqueuers: options.enqueuers, batch: batch,
            seconds: options.seconds, ahead: loop.ahead)
        let (figures, consumption) = try await database.meter.measure { try await ceiling.run(on: database) }
        try await database.check(
            finished: figures.settledInAll, waiting: figures.enqueuedInAll - figures.settledInAll,
            after: "the ceiling at batch \(batch)")
        return Throughput(
            jobs: figures.settled, seconds: figures.seconds, consumption: consumption,
            consumedJobs: figures.settledInAll)
    }
}
