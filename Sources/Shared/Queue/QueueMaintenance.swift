import Logging
import Postgres

/// The queue's periodic duties. Any number of processes may do them at once; none needs a leader.
package struct QueueMaintenance: Sendable {
    /// History is made so many days ahead; without a day for its outcome no job settles.
    static let daysAhead: Int32 = 14

    private let pool: PostgresPool
    private let logger: Logger
    private let wakeUp: WakeUp

    package init(pool: PostgresPool, logger: Logger) {
        self.pool = pool
        self.logger = logger
        wakeUp = WakeUp(pool: pool, logger: logger)
    }

    /// Moves up to `limit` jobs whose time has come into line; returns how many. Each 100–250 ms, again at once while it
    /// returns `limit`.
    @discardableResult
    package func promote(limit: Int = 1000) async throws -> Int {
        let jobs = try await count(Statements.promote, [limit])
        if jobs > 0 { await wakeUp.jobsCame() }
        return jobs
    }

    /// Puts back the unsettled jobs of up to `limit` leases of dead workers; returns how many. Each second. May make a job
    /// run twice whose worker was only taken for dead: its settle then fails.
    @discardableResult
    package func rescue(limit: Int = 100) async throws -> Int {
        let jobs = try await pool.transaction { transaction in
            let leases = try await transaction.execute(Statements.rescueLock, [.int4(Int32(clamping: limit))])
                .map { try $0.decode(Int64.self) }
            guard !leases.isEmpty else { return 0 }
            try await transaction.execute(Statements.rescueHolds, [.int8Array(leases)])
            return try await transaction.execute(Statements.rescueMove, [.int8Array(leases)]).value(Int.self) ?? 0
        }
        if jobs > 0 { logger.warning("jobs of dead workers were put back", metadata: ["jobs": "\(jobs)"]) }
        return jobs
    }

    /// Makes the days of history up to two weeks ahead; returns how many were missing. At start and daily.
    @discardableResult
    package func makeHistory() async throws -> Int { try await count(Statements.makeHistory, [Int(Self.daysAhead)]) }

    /// Drops days past their life span, oldest first; returns their names. Daily. A day that a reader is in the way of is
    /// left for the next call: waiting longer would stop every settle.
    @discardableResult
    package func dropHistory(completedDays: Int = 3, otherDays: Int = 90) async throws -> [String] {
        var dropped: [String] = []
        while true {
            let name = try await pool.execute(
                Statements.dropHistory, [.int4(Int32(clamping: completedDays)), .int4(Int32(clamping: otherDays))]
            ).value(String?.self)
            guard let name = name ?? nil, name != "busy" else { return dropped }
            dropped.append(name)
        }
    }

    /// Makes keyed enqueues that met a stranger's open transaction into jobs; returns how many it looked at. Each second.
    @discardableResult
    package func foldWishes(limit: Int = 1000) async throws -> Int { try await count(Statements.foldWishes, [limit]) }

    /// Cancels jobs that were asked to stop while running and have come to wait since, and forgets those that are over.
    /// Each second.
    @discardableResult
    package func repeatCancels() async throws -> Int {
        try await pool.execute(Statements.repeatCancels).value(Int.self) ?? 0
    }

    /// Deletes the rows of dead workers whose leases are rescued. Each minute.
    package func forgetWorkers() async throws { try await pool.execute(Statements.forgetWorkers) }

    /// Deletes the rows of limits that limit nothing any more. Hourly.
    package func forgetLimits() async throws { try await pool.execute(Statements.forgetLimits) }

    private func count(_ statement: PostgresStatement, _ limits: [Int]) async throws -> Int {
        try await pool.execute(statement, limits.map { .int4(Int32(clamping: $0)) }).value(Int.self) ?? 0
    }
}
