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
    let options: QueueBenchmarkOptions
    let say: @Sendable (String) -> Void

    func run() async throws -> [Figure] {
        var figures: [Figure] = []
        for batch in options.batches { figures += try await run(batch: batch) }
        return figures
    }

    private func run(batch: Int) async throws -> [Figure] {
        let loop = ClosedLoop(batch: batch, runners: options.runners, enqueuers: options.enqueuers)
        var ceiling: [Throughput] = []
        var split: [Throughput] = []
        var statements: [Throughput] = []
        var ours: [Throughput] = []
        var settings = ""
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
                try await StatementLoop(batch: batch, connections: options.runners).run(
                    on: database, seconds: options.seconds))
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
            figure(Self.ceiling, "\(options.runners) connections, enqueue + settle + claim in one pipeline", ceiling),
            figure(
                "libpq in C, two commits",
                "\(options.enqueuers) connections enqueue, \(options.runners) settle and claim", split),
            figure("Postgres module", "as C in one commit, rows decoded", statements),
            figure(Self.ours, settings, ours),
        ]
    }

    private func drive(_ mode: queue_ceiling_mode, batch: Int, _ loop: ClosedLoop) async throws -> Throughput {
        let ceiling = Ceiling(
            mode: mode, connections: options.runners, enqueuers: options.enqueuers, batch: batch,
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
