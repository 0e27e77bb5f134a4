import Pacing
import Postgres
import Queue
import Synchronization

/// Limits over several runners: that they hold at every instant, how much of the room they leave is used, and what asking
/// for room costs. A limit that is exceeded once is an error, not a figure.
struct LimitsShape: Sendable {
    let database: QueueDatabase
    let options: QueueBenchmarkOptions
    let say: @Sendable (String) -> Void

    static let key = "bench"
    static let concurrency = 16
    static let rate = 1000.0
    static let burst = 100

    func run() async throws -> [Figure] {
        var figures = [try await atATime(), try await aSecond()]
        figures += try await cost()
        return figures
    }

    private var queue: JobQueue { JobQueue(pool: database.pool, logger: database.logger) }

    private func figure(_ variant: String, _ subject: String, _ settings: String, _ measures: [Measure]) -> Figure {
        Figure(
            shape: QueueShape.limits.rawValue, variant: variant, subject: subject, settings: settings,
            measures: measures)
    }

    /// Two runners that could run 128 jobs of 2 ms at a time, and may run 16.
    private func atATime() async throws -> Figure {
        try await database.reset()
        try await queue.setLimit(JobLimit(key: Self.key, concurrency: Self.concurrency))
        let jobs = max(200, Int(options.seconds * 2000))
        try await database.fill(jobs, limitKey: Self.key)
        let now = Mutex((running: 0, most: 0))
        let worked = Samples()
        let gate = Gate(ahead: 0, step: 1)
        let handler = TimedHandler {
            now.withLock {
                $0.running += 1
                $0.most = max($0.most, $0.running)
            }
            let began = BootInstant.now()
            try await Task.sleep(for: .milliseconds(2))
            worked.add(began.duration(to: .now()))
            now.withLock { $0.running -= 1 }
            gate.finish()
        }
        let began = BootInstant.now()
        let fleet = RunnerFleet(2, on: database, handlers: [handler]) { _ in }
        let seconds = try await fleet.whileRunning {
            await gate.wait(for: jobs)
            return began.duration(to: .now()).seconds
        }
        try await database.check(finished: jobs, waiting: 0, after: "jobs under a limit")
        let most = now.withLock { $0.most }
        guard most <= Self.concurrency else {
            throw BenchmarkError(.wrongCount, "\(most) jobs ran at once under a limit of \(Self.concurrency)")
        }
        let used = worked.all.reduce(0, +) / 1000 / (seconds * Double(Self.concurrency))
        say("limits: \(most) of \(Self.concurrency) at once, \(Int(used * 100)) % used")
        return figure(
            "\(Self.concurrency) jobs of 2 ms at a time", LifeShape.ours, fleet.settings,
            [
                Measure("most at once", "", [Double(most)]), Measure("room used", "%", [used * 100]),
                Measure("starts", "1/s", [Double(jobs) / seconds]),
            ])
    }

    /// A full bucket, then starts as it fills.
    private func aSecond() async throws -> Figure {
        try await database.reset()
        let began = BootInstant.now()
        try await queue.setLimit(JobLimit(key: Self.key, rate: Self.rate, burst: Self.burst))
        let jobs = Self.burst + max(100, Int(options.seconds * Self.rate))
        try await database.fill(jobs, limitKey: Self.key)
        let starts = Samples()
        let gate = Gate(ahead: 0, step: 1)
        let handler = NoOpHandler { _ in
            starts.add(began.duration(to: .now()))
            gate.finish()
        }
        let fleet = RunnerFleet(2, on: database, handlers: [handler]) { _ in }
        try await fleet.whileRunning { await gate.wait(for: jobs) }
        try await database.check(finished: jobs, waiting: 0, after: "jobs under a rate")
        // A start comes after its grant, and grants come from a bucket that was full no sooner than the limit was made.
        let times = starts.all.sorted()
        var ahead = 0.0
        for (index, time) in times.enumerated() {
            let tokens = Double(Self.burst) + Self.rate * time / 1000
            ahead = max(ahead, Double(index + 1) - tokens)
        }
        guard ahead <= 1 else {
            throw BenchmarkError(.wrongCount, "starts were \(ahead) ahead of a bucket of \(Self.rate) a second")
        }
        let span = ((times.last ?? 0) - (times.dropFirst(Self.burst).first ?? 0)) / 1000
        let rate = Double(jobs - Self.burst - 1) / max(span, 0.001)
        say("limits: \(Int(rate)) starts/s of \(Int(Self.rate)) allowed")
        return figure(
            "\(Int(Self.rate)) starts a second, burst \(Self.burst)", LifeShape.ours, fleet.settings,
            [
                Measure("starts after the burst", "1/s", [rate]),
                Measure("of what is allowed", "%", [rate / Self.rate * 100]),
                Measure("most ahead of the bucket", "starts", [ahead]),
            ])
    }

    /// A burn-down of jobs with a key that has room for all, beside jobs without.
    private func cost() async throws -> [Figure] {
        let jobs = options.jobs / 10 / 100 * 100
        var free: [Throughput] = []
        var limited: [Throughput] = []
        var settings = ""
        for _ in 0..<options.pairs {
            for key in [nil, Self.key] {
                try await database.reset()
                if let key { try await queue.setLimit(JobLimit(key: key, concurrency: jobs)) }
                try await database.fill(jobs, limitKey: key)
                let gate = Gate(ahead: 0, step: 100)
                let handler = NoOpHandler { _ in gate.finish() }
                let fleet = RunnerFleet(options.runners, on: database, handlers: [handler]) {
                    $0.claimBatch = 100
                    $0.exchanges = options.exchanges
                    $0.concurrency = 200 * options.exchanges
                }
                settings = fleet.settings
                let (seconds, consumption) = try await database.meter.measure {
                    let began = BootInstant.now()
                    try await fleet.whileRunning { await gate.wait(for: jobs) }
                    return began.duration(to: .now()).seconds
                }
                try await database.check(finished: jobs, waiting: 0, after: "a burn-down under a limit")
                let throughput = Throughput(jobs: jobs, seconds: seconds, consumption: consumption)
                if key == nil { free.append(throughput) } else { limited.append(throughput) }
            }
        }
        let variant = "burn-down of \(jobs) jobs"
        return [
            figure(variant, "no key", settings, Throughput.measures(free)),
            figure(variant, "one key with room for all", "", Throughput.measures(limited)),
        ]
    }
}

/// Works a while.
private struct TimedHandler: JobHandler {
    let kind = QueueDatabase.kind
    let work: @Sendable () async throws -> Void

    func perform(_ job: LeasedJob, settlement: JobSettlement) async throws -> JobOutcome {
        try await work()
        return .complete
    }
}
