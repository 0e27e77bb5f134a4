import Pacing
import Postgres
import Queue

/// From the call that enqueues one job to the start of its handler, one runner with the settings of production.
///
/// The call is made in another process by `JobQueue`, or by SQL as any program may. Idle: nothing else is in the queue,
/// and calls come at random times. Half load: the same beside a stream of jobs at half the rate that this runner keeps up
/// with. All clocks are one (`CLOCK_BOOTTIME` of this machine). The call's own time until its commit is inside.
struct PickupShape: Sendable {
    let database: QueueDatabase
    let server: BenchmarkServer
    let options: QueueBenchmarkOptions
    let say: @Sendable (String) -> Void

    private enum Caller: String, CaseIterable {
        case queue = "JobQueue in another process"
        case sql = "evergrant.enqueue in SQL"
    }

    func run() async throws -> [Figure] {
        var figures: [Figure] = []
        for caller in Caller.allCases { figures.append(try await measure(caller, load: nil)) }
        if options.python != nil {
            for queue in PublicQueue.all {
                let round = try await queue.run(
                    .init(shape: QueueShape.pickup.rawValue, probes: options.probes), on: server, meter: database.meter,
                    options)
                figures.append(
                    Figure(
                        shape: QueueShape.pickup.rawValue, variant: "idle", subject: round.subject,
                        settings: round.settings, measures: Self.measures(round.ages)))
            }
        }
        let capacity = try await capacity()
        for caller in Caller.allCases { figures.append(try await measure(caller, load: capacity / 2)) }
        return figures
    }

    /// Jobs a second that one such runner keeps up with, enqueued in tens.
    private func capacity() async throws -> Double {
        try await database.reset()
        var loop = ClosedLoop(batch: 10, runners: 1, exchanges: 2, enqueuers: options.enqueuers)
        loop.configuration = JobRunnerConfiguration()
        return try await loop.run(on: database, seconds: options.seconds).throughput.rate
    }

    private func measure(_ caller: Caller, load: Double?) async throws -> Figure {
        try await database.reset()
        let ages = Samples()
        let probes = Gate(ahead: 0, step: 1)
        let probe = NoOpHandler(Probe.kind) { job in
            if let age = Probe.age(of: job) { ages.add(age) }
            probes.finish()
        }
        let load = load.map { Load(rate: $0, database: database) }
        let fleet = RunnerFleet(
            1, on: database, handlers: [probe, NoOpHandler { _ in load?.gate.finish() }]
        ) { _ in }
        try await fleet.whileRunning {
            try await withThrowingTaskGroup(of: Void.self) { group in
                if let load { group.addTask { try await load.run() } }
                defer { load?.gate.close() }
                try await call(caller)
                await probes.wait(for: options.probes)
            }
            if let load { await load.gate.wait(for: load.gate.entered) }
        }
        let times = ages.all
        guard times.count == options.probes else {
            throw BenchmarkError(.wrongCount, "\(options.probes) jobs were to be picked up, and \(times.count) were")
        }
        let words = load.map { "half load (\(Int($0.rate)) jobs/s)" } ?? "idle"
        say("pickup, \(words), by \(caller.rawValue): p50 \(times.quantile(0.5)) ms, p99 \(times.quantile(0.99)) ms")
        return Figure(
            shape: QueueShape.pickup.rawValue, variant: load == nil ? "idle" : "half load",
            subject: "evergrant, by \(caller.rawValue)",
            settings: fleet.settings + (load.map { ", beside \(Int($0.rate)) jobs/s" } ?? ""),
            measures: Self.measures(times))
    }

    private static func measures(_ times: [Double]) -> [Measure] {
        [
            Measure("p50", "ms", [times.quantile(0.5)]), Measure("p90", "ms", [times.quantile(0.9)]),
            Measure("p99", "ms", [times.quantile(0.99)]), Measure("longest", "ms", [times.max() ?? 0]),
            Measure("jobs", "", [Double(times.count)]),
        ]
    }

    /// Makes all calls.
    private func call(_ caller: Caller) async throws {
        switch caller {
        case .queue:
            let child = try options.child(
                .init(role: .probe, url: database.url, count: options.probes, pause: Self.pause))
            let status = await child.end()
            guard status == 0 else {
                throw BenchmarkError(.failed, "the enqueuing process ended with status \(status): \(child.complaints)")
            }
        case .sql:
            let kinds = try await database.pool.execute(HotPath.nameKinds, [.textArray([Probe.kind])])
            guard let kind = try kinds.first?.decode(Int32.self) else {
                throw BenchmarkError(.failed, "there is no kind of probes")
            }
            // What `evergrant apps allow` writes.
            try await database.run(
                """
                insert into evergrant.environments (id, name, mode) overriding system value
                    values (\(QueueDatabase.environmentID), 'bench', 'test') on conflict do nothing;
                insert into evergrant.app_grants (role, environment_id, kinds)
                    values (current_user, \(QueueDatabase.environmentID), array[\(kind)]) on conflict do nothing;
                """)
            let enqueue = PostgresStatement(
                "enqueue as an app", "select evergrant.enqueue($1::text, $2::jsonb, environment => 'bench')")
            for _ in 0..<options.probes {
                try await Task.sleep(for: .milliseconds(Double.random(in: 0...2) * Self.pause))
                try await database.pool.execute(enqueue, [.text(Probe.kind), .jsonb(Probe.arguments())])
            }
        }
    }

    /// Mean milliseconds between two calls.
    private static let pause = 20.0
}

/// A stream of jobs at a steady rate, enqueued each 5 ms.
private struct Load: Sendable {
    let rate: Double
    let database: QueueDatabase
    let gate = Gate(ahead: .max, step: 1)

    /// Until the gate is closed.
    func run() async throws {
        let queue = JobQueue(pool: database.pool, logger: database.logger)
        let began = BootInstant.now()
        var sent = 0
        while true {
            let due = Int(began.duration(to: .now()).seconds * rate)
            var jobs: [NewJob] = []
            while sent < due, jobs.count < 1000 {
                guard await gate.enter() else { return }
                jobs.append(database.job(sent))
                sent += 1
            }
            try await queue.enqueue(jobs)
            if jobs.count < 1000 { try await Task.sleep(for: .milliseconds(5)) }
            if gate.isClosed { return }
        }
    }
}
