import ChaosSupport
import Foundation
import Logging
import Postgres
import Queue

/// Makes a run: ground, processes, disturbances, an end in peace, and the verdict.
struct Conductor: Sendable {
    private let options: ConductOptions

    init(_ options: ConductOptions) { self.options = options }

    func conduct() async throws -> Report {
        let ground = try await Ground(options)
        do {
            let report = try await conduct(on: ground)
            // What refutes the queue is kept; a fault's is known.
            let keeps = options.keeps || options.fault == nil && !report.violations.isEmpty
            await ground.end(keeping: keeps ? report.text : nil)
            if keeps { print("histories and logs: \(ground.directory)") }
            return report
        } catch {
            await ground.end(keeping: options.keeps ? "\(error)" : nil)
            throw error
        }
    }

    private func conduct(on ground: Ground) async throws -> Report {
        let began = ContinuousClock.now
        let history = try HistoryFile(directory: ground.directory, name: "conductor")
        let fleet = Fleet(ground, options, history)
        do {
            let queue = JobQueue(
                pool: ground.pool, logger: Logger(label: "conductor") { _ in SwiftLogNoOpLogHandler() })
            for limit in options.limits {
                try await queue.setLimit(JobLimit(key: limit.key, concurrency: limit.concurrency))
            }
            try await fleet.start()
            try await settleIn(ground.pool)
            try await disturb(fleet, ground, history)
            // Whoever enqueues ends first; then the queue empties, or does not.
            await fleet.finish(.enqueuer)
            try await settleDown(ground.pool)
            await fleet.finish(.worker)
            await fleet.finish(.observer)
        } catch {
            await fleet.destroy()
            throw error
        }
        await fleet.destroy()
        let checker = Checker(
            entries: try HistoryFile.read(directory: ground.directory), state: try await FinalState.read(ground.pool),
            rules: Checker.Rules(pace: options.pace, limits: options.limits))
        return Report(checker, options: options, seconds: Int((ContinuousClock.now - began).components.seconds))
    }

    /// Returns when the workers and observers have registered, or after ten seconds: a busy machine starts slowly.
    private func settleIn(_ pool: PostgresPool) async throws {
        let began = ContinuousClock.now
        var count = 0
        while count <= options.workers, ContinuousClock.now - began < .seconds(10) {
            count = try await pool.execute(ChaosSQL.registered).first?.decode(Int.self) ?? 0
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    private func disturb(_ fleet: Fleet, _ ground: Ground, _ history: HistoryFile) async throws {
        let deadline = ContinuousClock.now + .seconds(options.seconds)
        let disturber = Disturber(
            fleet: fleet, ground: ground, pool: ground.pool, history: history, options: options)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await disturber.run(until: deadline) }
            if options.fault == nil {
                group.addTask { try await heapUp(ground.pool, history, until: deadline) }
            }
            group.addTask { try await Task.sleep(until: deadline, clock: .continuous) }
            try await group.waitForAll()
        }
        ground.proxy?.set(.open)
    }

    /// Now and then more than the workers can do at once, urgent and bulk.
    private func heapUp(
        _ pool: PostgresPool, _ history: HistoryFile, until deadline: ContinuousClock.Instant
    ) async throws {
        let queue = JobQueue(pool: pool, logger: Logger(label: "conductor") { _ in SwiftLogNoOpLogHandler() })
        var call = 0
        while ContinuousClock.now < deadline {
            try await Task.sleep(until: min(deadline, .now + .seconds(3)), clock: .continuous)
            call += 1
            var wanted: [Wanted] = []
            var jobs: [NewJob] = []
            for place in 0..<360 {
                let token = "conductor/\(call)/\(place)"
                wanted.append(Wanted(token: token, kind: .plain, key: nil))
                jobs.append(
                    NewJob(
                        kind: ChaosKind.plain.rawValue,
                        arguments: Array(#"{"token": "\#(token)", "work": 20}"#.utf8), environmentID: 1,
                        priority: place < 120 ? 0 : 3))
            }
            history.record(.asked(call: call, jobs: wanted))
            do {
                let batch = jobs
                let results = try await pool.transaction { try await queue.enqueue(batch, in: $0) }
                let answers = zip(wanted, results).map {
                    Answer(token: $0.token, job: $1.jobID, outcome: $1.outcome.rawValue)
                }
                history.record(.answered(call: call, verdict: .committed, jobs: answers))
                history.record(.backlog(urgent: 120, bulk: 240))
            } catch let error as PostgresError {
                history.record(
                    .answered(call: call, verdict: error.code == .commitUnknown ? .unknown : .rolledBack, jobs: []))
            }
            try await Task.sleep(until: min(deadline, .now + .seconds(4)), clock: .continuous)
        }
    }

    /// Returns when nothing waits any more, or when nothing has changed for so long that what waits is lost.
    private func settleDown(_ pool: PostgresPool) async throws {
        var last: [Int] = []
        var changed = ContinuousClock.now
        while true {
            let row = try await pool.execute(ChaosSQL.waiting).first
            let (ready, scheduled, parked, leases, wishes) =
                try row?.decode(Int.self, Int.self, Int.self, Int.self, Int.self) ?? (0, 0, 0, 0, 0)
            let counts = [ready, scheduled, parked, leases, wishes]
            if counts.allSatisfy({ $0 == 0 }) { return }
            if counts != last {
                last = counts
                changed = .now
            } else if ContinuousClock.now - changed > options.stall {
                return
            }
            try await Task.sleep(for: .milliseconds(100))
        }
    }
}
