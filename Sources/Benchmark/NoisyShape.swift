import Pacing
import Queue
import Synchronization

/// One job of an environment beside another environment's backlog: how many claims of the one worker go to others from
/// the moment its enqueue has committed until it is claimed, and how long that takes.
struct NoisyShape: Sendable {
    let database: QueueDatabase
    let options: QueueBenchmarkOptions
    let say: @Sendable (String) -> Void

    func run() async throws -> [Figure] {
        try await database.reset()
        try await database.fill(options.noise, environmentID: 2)
        let queue = JobQueue(pool: database.pool, logger: database.logger)
        // Leases are numbered in the order of claims.
        let drawn = try await database.integers(
            "select coalesce(pg_sequence_last_value(pg_get_serial_sequence('evergrant.leases', 'id')::regclass), 0)")
        let newest = Mutex(drawn.first ?? 0)
        let claimed = Mutex<Int64>(0)
        let ages = Samples()
        let mine = Gate(ahead: 0, step: 1)
        let noise = NoOpHandler { job in newest.withLock { $0 = max($0, job.lease.leaseID) } }
        let probe = NoOpHandler(Probe.kind) { job in
            if let age = Probe.age(of: job) { ages.add(age) }
            claimed.withLock { $0 = job.lease.leaseID }
            newest.withLock { $0 = max($0, job.lease.leaseID) }
            mine.finish()
        }
        let fleet = RunnerFleet(1, on: database, handlers: [noise, probe]) { _ in }
        let rounds = try await fleet.whileRunning {
            var rounds: [Double] = []
            for turn in 1...max(1, options.singles) {
                // The backlog is there at every turn.
                let left = try await database.integers(
                    "select count(*) from (select from evergrant.jobs_ready limit \(options.noise / 2)) x")
                if (left.first ?? 0) < options.noise / 2 {
                    try await database.fill(options.noise, environmentID: 2)
                }
                try await Task.sleep(for: .milliseconds(Double.random(in: 5...25)))
                try await queue.enqueue([Probe.job()])
                let before = newest.withLock { $0 }
                await mine.wait(for: turn)
                rounds.append(Double(max(0, claimed.withLock { $0 } - before)))
            }
            return rounds
        }
        let times = ages.all
        guard times.count == rounds.count else {
            throw BenchmarkError(.wrongCount, "\(rounds.count) single jobs, and \(times.count) ran")
        }
        return [
            Figure(
                shape: QueueShape.noisy.rawValue,
                variant: "single jobs beside a backlog of \(options.noise) of another environment",
                subject: LifeShape.ours, settings: fleet.settings,
                measures: [
                    Measure("claims until it is held, median", "", [rounds.quantile(0.5)]),
                    Measure("most", "", [rounds.max() ?? 0]),
                    Measure("pickup, p50", "ms", [times.quantile(0.5)]),
                    Measure("p99", "ms", [times.quantile(0.99)]), Measure("jobs", "", [Double(times.count)]),
                ])
        ]
    }
}
