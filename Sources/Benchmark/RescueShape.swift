import Foundation
import Pacing
import Postgres
import Queue
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// From the SIGKILL of a worker process to the restart of its jobs on another one, with the beats and the patience of
/// production: 5 s and 20 s. The kill comes at a random moment between two beats.
struct RescueShape: Sendable {
    let database: QueueDatabase
    let options: QueueBenchmarkOptions
    let say: @Sendable (String) -> Void
    static let jobs = 20

    func run() async throws -> [Figure] {
        try await database.reset()
        let pool = database.workerPool(connections: 2)
        var times: [[Double]] = []
        var watch = WorkerObserverConfiguration()
        watch.patience = options.patience
        let observer = WorkerObserver(pool: pool, configuration: watch, logger: database.logger)
        do {
            times = try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try? await observer.run() }
                var times: [[Double]] = []
                for _ in 0..<options.kills { times.append(try await kill()) }
                group.cancelAll()
                return times
            }
        } catch {
            await pool.close(grace: .zero)
            throw error
        }
        await pool.close(grace: .zero)
        return [
            Figure(
                shape: QueueShape.rescue.rawValue, variant: "SIGKILL of a worker with \(Self.jobs) jobs",
                subject: LifeShape.ours,
                settings: "beat \(options.beatInterval), patience \(options.patience), read each \(watch.interval)",
                measures: [
                    Measure("first job restarts", "s", times.map { $0.min() ?? 0 }),
                    Measure("last job restarts", "s", times.map { $0.max() ?? 0 }),
                ])
        ]
    }

    /// Seconds from the kill to the restart of each job.
    private func kill() async throws -> [Double] {
        try await JobQueue(pool: database.pool, logger: database.logger).enqueue(
            (0..<Self.jobs).map { database.job($0) })
        let child = try options.child(
            .init(role: .hold, url: database.url, count: Self.jobs, beat: options.beatInterval.seconds))
        do {
            try await untilHeld(Self.jobs, by: child)
        } catch {
            child.send(signal: SIGKILL)
            throw error
        }
        let restarts = Samples()
        let killedAt = Mutex<BootInstant?>(nil)
        let gate = Gate(ahead: 0, step: Self.jobs)
        let handler = NoOpHandler { _ in
            if let at = killedAt.withLock({ $0 }) { restarts.add(at.duration(to: .now())) }
            gate.finish()
        }
        try await RunnerFleet(1, on: database, handlers: [handler]) { _ in }.whileRunning {
            try await Task.sleep(for: .seconds(Double.random(in: 0...options.beatInterval.seconds)))
            killedAt.withLock { $0 = .now() }
            child.send(signal: SIGKILL)
            await gate.wait(for: Self.jobs)
        }
        _ = await child.end()
        let seconds = restarts.all.map { $0 / 1000 }
        guard seconds.count == Self.jobs else {
            throw BenchmarkError(.wrongCount, "\(Self.jobs) jobs were to restart, and \(seconds.count) did")
        }
        say("rescue: \(seconds.max() ?? 0) s")
        return seconds
    }

    private func untilHeld(_ jobs: Int, by child: SecondProcess) async throws {
        let began = BootInstant.now()
        while began.duration(to: .now()) < .seconds(20) {
            let held = try await database.integers(
                "select coalesce(sum(cardinality(jobs)), 0)::bigint from evergrant.leases")
            if held == [Int64(jobs)] { return }
            try await Task.sleep(for: .milliseconds(20))
        }
        throw BenchmarkError(.failed, "the worker to be killed did not take its jobs: \(child.complaints)")
    }
}
