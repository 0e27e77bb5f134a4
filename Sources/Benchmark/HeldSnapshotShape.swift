import CQueueCeiling

/// `life` at batch 100 while a REPEATABLE READ reader stays open: dead rows cannot be cleaned away, so a claim that
/// begins at the head of its index slows down with every job. Kept is the rate of the last seconds over that of the first.
struct HeldSnapshotShape: Sendable {
    let database: QueueDatabase
    let options: QueueBenchmarkOptions
    let say: @Sendable (String) -> Void
    static let batch = 100

    func run() async throws -> [Figure] {
        var figures: [Figure] = []
        for isHeld in [true, false] {
            figures.append(try await ours(isHeld))
            figures.append(try await ceiling(isHeld))
        }
        return figures
    }

    private func ours(_ isHeld: Bool) async throws -> Figure {
        try await database.reset()
        let loop = ClosedLoop(
            batch: Self.batch, runners: options.runners, exchanges: options.exchanges, enqueuers: options.enqueuers)
        let outcome = try await held(isHeld) { try await loop.run(on: database, seconds: options.holdSeconds) }
        return figure(LifeShape.ours, outcome.settings, isHeld, outcome.samples, outcome.throughput)
    }

    private func ceiling(_ isHeld: Bool) async throws -> Figure {
        try await database.reset()
        let ceiling = Ceiling(
            mode: QUEUE_CEILING_LIFE, connections: options.connections, batch: Self.batch, seconds: options.holdSeconds)
        let (figures, consumption) = try await held(isHeld) {
            try await database.meter.measure { try await ceiling.run(on: database) }
        }
        try await database.check(
            finished: figures.settledInAll, waiting: figures.enqueuedInAll - figures.settledInAll,
            after: "the ceiling with a held snapshot")
        return figure(
            LifeShape.ceiling, "\(options.connections) connections", isHeld, figures.samples,
            Throughput(
                jobs: figures.settled, seconds: figures.seconds, consumption: consumption,
                consumedJobs: figures.settledInAll))
    }

    private func held<Result: Sendable>(_ isHeld: Bool, _ body: () async throws -> Result) async throws -> Result {
        if isHeld { return try await database.whileSnapshotIsHeld(body) }
        return try await body()
    }

    private func figure(
        _ subject: String, _ settings: String, _ isHeld: Bool, _ samples: [Int], _ throughput: Throughput
    ) -> Figure {
        // Of the whole seconds that were seen: the first and the last ten, or thirds of a shorter run.
        let window = min(10, max(1, samples.count / 3))
        let first = Double(samples.dropFirst(window - 1).first ?? 0) / Double(window)
        let before = samples.count > window ? samples[samples.count - 1 - window] : 0
        let last = Double((samples.last ?? 0) - before) / Double(window)
        say("held-snapshot, \(isHeld ? "held" : "none"), \(subject): \(Int(first)) to \(Int(last)) jobs/s")
        return Figure(
            shape: QueueShape.heldSnapshot.rawValue,
            variant:
                "\(isHeld ? "snapshot held" : "no snapshot") for \(Int(options.holdSeconds)) s, batch \(Self.batch)",
            subject: subject, settings: settings,
            measures: [
                Measure("first \(window) s", "jobs/s", [first]), Measure("last \(window) s", "jobs/s", [last]),
                Measure("kept", "%", [first > 0 ? last / first * 100 : 0]),
            ] + Throughput.measures([throughput]))
    }
}
