import Pacing
import Postgres
import Queue

/// Enqueuers and runners against each other: `JobQueue.enqueue` in batches by several tasks, `JobRunner`s with a handler
/// that does nothing, history on. The enqueuers stay a few batches ahead, so the line is short and never empty.
struct ClosedLoop: Sendable {
    var batch: Int
    var runners: Int
    var exchanges: Int
    var enqueuers: Int
    /// Nil: claims of `batch` jobs, two of them at a time.
    var configuration: JobRunnerConfiguration?

    var ahead: Int { 4 * batch * enqueuers }

    struct Outcome: Sendable {
        let throughput: Throughput
        let settings: String
        /// Jobs finished at the end of each second.
        let samples: [Int]
    }

    /// For `seconds` from the first finished batch on; what is under way at the end is finished, counted and checked, and
    /// is not in the rate.
    func run(on database: QueueDatabase, seconds: Double) async throws -> Outcome {
        let gate = Gate(ahead: ahead, step: batch)
        let fleet = RunnerFleet(runners, on: database, handlers: [NoOpHandler { _ in gate.finish() }]) {
            if let configuration {
                $0 = configuration
            } else {
                $0.claimBatch = batch
                $0.exchanges = exchanges
                // One batch under way for each round trip, and one being performed.
                $0.concurrency = 2 * exchanges * batch
            }
        }
        let pool = database.workerPool(connections: enqueuers)
        let queue = JobQueue(pool: pool, logger: database.logger)
        let meter = database.meter
        let outcome: Outcome
        do {
            outcome = try await fleet.whileRunning {
                try await withThrowingTaskGroup(of: Outcome?.self) { group in
                    for number in 0..<enqueuers {
                        group.addTask {
                            var turn = number * 97
                            while await gate.enter() {
                                do {
                                    try await queue.enqueue((0..<batch).map { database.job(turn + $0) })
                                } catch {
                                    gate.close()
                                    throw error
                                }
                                turn += batch
                            }
                            return nil
                        }
                    }
                    group.addTask {
                        defer { gate.close() }
                        await gate.wait(for: batch)
                        let start = try await meter.read()
                        let first = gate.finished
                        var samples: [Int] = []
                        var elapsed = 0.0
                        while elapsed < seconds {
                            try await Task.sleep(for: .seconds(min(1, seconds - elapsed)))
                            elapsed = start.at.duration(to: .now()).seconds
                            samples.append(gate.finished - first)
                        }
                        let jobs = gate.finished - first
                        let consumption = meter.consumption(from: start, to: try await meter.read())
                        return Outcome(
                            throughput: Throughput(jobs: jobs, seconds: elapsed, consumption: consumption),
                            settings: "\(enqueuers) tasks enqueue, \(ahead) jobs ahead at most; \(fleet.settings)",
                            samples: samples)
                    }
                    var outcome: Outcome?
                    for try await result in group { outcome = result ?? outcome }
                    guard let outcome else { throw BenchmarkError(.failed, "nothing was measured") }
                    // Everything that was enqueued is performed before the runners are drained.
                    await gate.wait(for: gate.entered)
                    return outcome
                }
            }
        } catch {
            await pool.close(grace: .zero)
            throw error
        }
        await pool.close(grace: .zero)
        try await database.check(finished: gate.finished, waiting: 0, after: "the closed loop at batch \(batch)")
        return outcome
    }
}
