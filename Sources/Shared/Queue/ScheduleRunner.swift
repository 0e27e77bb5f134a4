import Foundation
import Logging
import Postgres

/// The duty that enqueues the jobs of schedules that are due. Any number of processes may do it at once; none needs a
/// leader.
///
/// Term: a *tick* is a time that a rule names. Each is enqueued exactly once, or passed over by the schedule's own
/// policies: ticks, jobs and the schedule's progress commit together, under the schedule's row. What a crash, a rollback
/// or a failover that lost the commit takes back, it takes back whole, and the next look does it again. A tick's job has
/// the promise of any other: at least one run.
package struct ScheduleRunner: Sendable {
    /// Ticks are kept so long.
    static let keptSeconds: Double = 2 * 86_400

    private let queue: JobQueue

    package init(queue: JobQueue) { self.queue = queue }

    /// Does what is due for up to `limit` schedules; returns how many it advanced. Each second, again at once while it
    /// returns `limit`.
    @discardableResult
    package func run(limit: Int = 100) async throws -> Int {
        let rows = try await queue.pool.execute(Statements.dueSchedules, [.int4(Int32(clamping: limit))])
            .map { try $0.decode(Int64.self, Int32.self, Int32.self) }
        guard !rows.isEmpty else { return 0 }
        // Outside the transaction, which then needs no second connection.
        try await queue.names.learn(queues: rows.map(\.1), kinds: rows.map(\.2))
        let ids = rows.map(\.0)
        do {
            return try await queue.pool.transaction { try await advance(ids, in: $0) }
        } catch  where Self.isOfOne(error) && ids.count > 1 {
            var count = 0
            for id in ids { count += try await advanceAlone(id) }
            return count
        } catch  where Self.isOfOne(error) {
            return try await advanceAlone(ids[0])
        }
    }

    /// Deletes up to `limit` old records of ticks; returns how many. Hourly, again at once while it returns `limit`.
    @discardableResult
    package func prune(limit: Int = 1000) async throws -> Int {
        try await queue.pool.execute(
            Statements.pruneTicks, [.float8(Self.keptSeconds), .int4(Int32(clamping: limit))]
        ).value(Int.self) ?? 0
    }

    /// Whether a schedule may be the cause of `error`, and not the database's state.
    private static func isOfOne(_ error: any Error) -> Bool {
        if let error = error as? PostgresError { return error.code == .server && !error.isRetryable }
        return error is QueueError
    }

    /// As `advance` for one schedule, which is held when it fails.
    private func advanceAlone(_ id: Int64) async throws -> Int {
        do {
            return try await queue.pool.transaction { try await advance([id], in: $0) }
        } catch  where Self.isOfOne(error) {
            try await hold([(id, "\(error)")], in: queue.pool)
            return 1
        }
    }

    private func hold(_ faults: [(Int64, String)], in database: any PostgresQuerying) async throws {
        guard !faults.isEmpty else { return }
        for (id, fault) in faults {
            queue.logger.error(
                "schedule cannot run", metadata: ["schedule": "\(id)", "error": "\(fault)"])
        }
        try await database.execute(
            Statements.holdSchedules, [.int8Array(faults.map(\.0)), .textArray(faults.map(\.1))])
    }

    /// Does what is due for those of `ids` that nobody else has; returns how many.
    func advance(_ ids: [Int64], in transaction: any PostgresQuerying) async throws -> Int {
        let locked = try await transaction.execute(Statements.lockDueSchedules, [.int8Array(ids)])
            .map(ScheduleRecord.init)
        guard !locked.isEmpty else { return 0 }
        let unfinished = try await unfinishedJobs(of: locked, in: transaction)

        // 1. What to run.
        var faults: [(Int64, String)] = []
        var wanted: [(record: ScheduleRecord, tick: Date)] = []
        var progress: [Int64: (next: Date?, last: Date?, job: Int64)] = [:]
        for record in locked {
            do {
                let schedule = record.schedule
                try schedule.job.check()
                var decision = ScheduleDecision(
                    ticks: try schedule.rule.ticks(from: record.anchor), next: record.nextAt ?? record.now,
                    last: record.lastAt, ends: schedule.ends, now: record.now, missed: schedule.missed)
                if decision.dropsMissed {
                    queue.logger.notice(
                        "ticks of a schedule were missed",
                        metadata: [
                            "schedule": "\(schedule.name)", "environment": "\(schedule.job.environmentID)",
                            "since": "\(record.nextAt ?? record.now)", "policy": "\(schedule.missed.rawValue)",
                        ])
                }
                if schedule.overlap == .skip {
                    decision.run =
                        record.lastJobID.map(unfinished.contains) ?? false ? [] : Array(decision.run.prefix(1))
                }
                progress[record.id] = (decision.next, nil, 0)
                wanted += decision.run.map { (record, $0) }
            } catch let error as QueueError {
                faults.append((record.id, error.description))
            }
        }

        // 2. Ticks that are there already have their job.
        let places =
            wanted.isEmpty
            ? []
            : try await transaction.execute(
                Statements.insertTicks,
                [.int8Array(wanted.map(\.record.id)), .timestamptzArray(wanted.map(\.tick))]
            ).map { try $0.decode(Int.self) - 1 }
        let fresh = places.map { wanted[$0] }

        // 3. The jobs.
        let jobs = try await queue.enqueue(fresh.map(\.record.schedule.job), in: transaction).map { $0.jobID ?? 0 }
        for ((record, tick), job) in zip(fresh, jobs) {
            progress[record.id]?.last = tick
            progress[record.id]?.job = job
        }
        if !fresh.isEmpty {
            try await transaction.execute(
                Statements.recordTicks,
                [
                    .int8Array(fresh.map(\.record.id)), .timestamptzArray(fresh.map(\.tick)), .int8Array(jobs),
                ])
        }

        // 4. Progress.
        let advanced = progress.keys.sorted()
        let states = advanced.compactMap { progress[$0] }
        if !advanced.isEmpty {
            try await transaction.execute(
                Statements.advanceSchedules,
                [
                    .int8Array(advanced), .timestamptzArray(states.map(\.next)), .timestamptzArray(states.map(\.last)),
                    .int8Array(states.map(\.job)),
                ])
        }
        try await hold(faults, in: transaction)
        return locked.count
    }

    /// Jobs of the latest runs that are not finished, of those schedules that ask.
    private func unfinishedJobs(
        of records: [ScheduleRecord], in transaction: any PostgresQuerying
    ) async throws -> Set<Int64> {
        let jobs = records.filter { $0.schedule.overlap == .skip }.compactMap(\.lastJobID)
        guard !jobs.isEmpty else { return [] }
        return Set(
            try await transaction.execute(Statements.unfinishedJobs, [.int8Array(jobs)])
                .map { try $0.decode(Int64.self) })
    }
}
