import Foundation
import Logging
import Pacing
import Postgres
import Synchronization
import TestSupport

@testable import Queue

let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// A database, a queue on it, and short ways to make and look at jobs.
struct QueueFixture: Sendable {
    let database: TestDatabase
    let pool: PostgresPool
    let queue: JobQueue
    let maintenance: QueueMaintenance
    private let pools: PoolList

    init(_ database: TestDatabase) {
        self.database = database
        pools = PoolList(database.url)
        pool = pools.make()
        queue = JobQueue(pool: pool, logger: quiet)
        maintenance = QueueMaintenance(pool: pool, logger: quiet)
    }

    /// Ends all sessions.
    func close() async { await pools.close() }

    static func job(
        _ kind: String = "test", _ arguments: String = "{}", environmentID: Int64 = 1, priority: Int16 = 2,
        runAt: Date? = nil, key: String? = nil, attempts: Int16 = 25
    ) -> NewJob {
        NewJob(
            kind: kind, arguments: Array(arguments.utf8), environmentID: environmentID, priority: priority,
            runAt: runAt, uniqueKey: key, maximumAttempts: attempts)
    }

    /// Enqueues one job and returns its id.
    func enqueue(_ job: NewJob) async throws -> Int64 {
        let result = try await queue.enqueue([job])
        guard let jobID = result.first?.jobID else { throw QueueError(.inconsistent, "no job") }
        return jobID
    }

    /// The job, which must be there.
    func record(_ jobID: Int64?) async throws -> JobRecord {
        guard let record = try await queue.find(jobID ?? 0) else { throw QueueError(.inconsistent, "no job") }
        return record
    }

    func state(_ jobID: Int64) async throws -> JobState? { try await queue.find(jobID)?.state }

    /// The first column of the first row.
    func value<T: PostgresDecodable>(_ sql: String, as type: T.Type) async throws -> T {
        let rows = try await pool.execute(PostgresStatement("test", sql))
        guard let row = rows.first else { throw QueueError(.inconsistent, "no row: \(sql)") }
        return try row.decode(type)
    }

    func count(_ sql: String) async throws -> Int {
        try await value("select count(*) from evergrant.\(sql)", as: Int.self)
    }

    func run(_ sql: String) async throws { try await pool.executeScript(PostgresStatement("test", sql)) }

    /// Registers a worker by hand.
    func worker() async throws -> Int64 {
        try await value("insert into evergrant.workers (name) values ('hand') returning id", as: Int64.self)
    }

    func server() async throws -> Double {
        try await value("select extract(epoch from pg_postmaster_start_time())::float8", as: Double.self)
    }

    /// Claims by hand, from the lanes given: queue 1 with priorities 0 to 3 by default.
    func claim(
        _ worker: Int64, limit: Int32 = 100, settling: [Int64] = [], low: Int64 = 0,
        in other: (any PostgresQuerying)? = nil
    ) async throws -> HandClaim {
        let rows = try await (other ?? pool).execute(
            Statements.settleAndClaim,
            [
                .int8Array(settling), .int8(worker), .int4Array([1, 1, 1, 1]), .int2Array([0, 1, 2, 3]),
                .int8Array([low, low, low, low]), .int4Array([limit, limit, limit, limit]),
                .float8(try await server()),
            ])
        var claim = HandClaim(worker: worker, settled: 0, lease: 0, jobs: [])
        for row in rows {
            let (settled, lease, _, job) = try row.decode(Int.self, Int64?.self, Bool?.self, Int64?.self)
            claim.settled = settled
            claim.lease = lease ?? 0
            if let job { claim.jobs.append(job) }
        }
        claim.jobs.sort()
        return claim
    }

    /// Settles by hand, all jobs alike.
    func settle(
        _ claim: HandClaim, _ jobs: [Int64]? = nil, act: Int16 = 0, delay: Double = 0, last: Bool = true,
        in other: (any PostgresQuerying)? = nil
    ) async throws {
        let jobs = jobs ?? claim.jobs
        try await (other ?? pool).execute(
            PostgresStatement(
                "settle by hand",
                "select evergrant.settle($1, $2, $3, $4, $5, $6, $7)"),
            [
                .int8(claim.lease), .int8(claim.worker), .int8Array(jobs), .int2Array(jobs.map { _ in act }),
                .float8Array(jobs.map { _ in delay }), .jsonbArray(jobs.map { _ in nil }), .bool(last),
            ])
    }

    /// Declares a worker dead whatever its beat.
    func declareDead(_ worker: Int64) async throws {
        try await run("update evergrant.workers set dead = true where id = \(worker)")
    }

    /// A runner with quick beats and polls, in a pool of its own.
    func runner(
        _ handlers: [any JobHandler], preparing: Bool = true,
        _ configure: (inout JobRunnerConfiguration) -> Void = { _ in }
    ) -> JobRunner {
        var configuration = JobRunnerConfiguration()
        configuration.pollInterval = .milliseconds(5) ... .milliseconds(10)
        configuration.beatInterval = .milliseconds(100)
        configure(&configuration)
        return JobRunner(
            queue: queue, pool: pools.make(preparing: preparing), handlers: handlers, configuration: configuration,
            logger: quiet)
    }
}

/// The pools of one test.
private final class PoolList: Sendable {
    private let url: String
    private let pools = Mutex<[PostgresPool]>([])

    init(_ url: String) { self.url = url }

    func make(preparing: Bool = true) -> PostgresPool {
        var configuration = PostgresConfiguration(url: url)
        configuration.preparesStatements = preparing
        configuration.settings = JobQueue.sessionSettings
        let pool = PostgresPool(configuration, logger: quiet)
        pools.withLock { $0.append(pool) }
        return pool
    }

    func close() async { for pool in pools.withLock({ $0 }) { await pool.close(grace: .zero) } }
}

struct HandClaim: Sendable {
    let worker: Int64
    var settled: Int
    var lease: Int64
    var jobs: [Int64]
}

/// Databases of the queue's tests: a few, each used by one test at a time and emptied for the next, because making one
/// takes longer than most tests.
private actor QueueDatabases {
    static let shared = QueueDatabases()

    private var free: [TestDatabase] = []
    private var made = 0
    private var waiting: [CheckedContinuation<TestDatabase, any Error>] = []

    func take() async throws -> TestDatabase {
        if let database = free.popLast() { return database }
        if made < 6 {
            made += 1
            do {
                return try await TestDatabase.makeMigrated()
            } catch {
                made -= 1
                for waiter in waiting { waiter.resume(throwing: error) }
                waiting = []
                throw error
            }
        }
        return try await withCheckedThrowingContinuation { waiting.append($0) }
    }

    func give(_ database: TestDatabase) {
        if waiting.isEmpty { free.append(database) } else { waiting.removeFirst().resume(returning: database) }
    }
}

/// A database that nobody else uses meanwhile, with nothing in its queue.
func withQueue<T: Sendable>(_ body: (QueueFixture) async throws -> T) async throws -> T {
    let database = try await QueueDatabases.shared.take()
    let fixture = QueueFixture(database)
    let result: Result<T, any Error>
    do {
        result = .success(try await body(fixture))
    } catch {
        result = .failure(error)
    }
    await fixture.close()
    let next = QueueFixture(database)
    try await next.run(
        """
        truncate evergrant.queues, evergrant.job_kinds, evergrant.jobs_ready, evergrant.jobs_scheduled,
            evergrant.jobs_parked, evergrant.jobs_discarded, evergrant.leases, evergrant.lease_marks,
            evergrant.job_keys, evergrant.job_wishes, evergrant.workers, evergrant.pauses, evergrant.job_cancels,
            evergrant.limits, evergrant.limit_holds, evergrant.queue_controls,
            evergrant.schedules, evergrant.schedule_ticks, evergrant.app_grants, evergrant.lane_counts
            restart identity;
        delete from evergrant.jobs_finished;
        alter sequence evergrant.job_ids restart;
        drop table if exists effects, facts, seen;
        """)
    await next.close()
    await QueueDatabases.shared.give(database)
    return try result.get()
}

/// A handler made of a closure.
struct ClosureHandler: JobHandler {
    let kind: String
    let backoff: Backoff
    let body: @Sendable (LeasedJob, JobSettlement) async throws -> JobOutcome

    init(
        _ kind: String = "test", backoff: Backoff = Backoff(base: .milliseconds(1), cap: .milliseconds(5)),
        _ body: @escaping @Sendable (LeasedJob, JobSettlement) async throws -> JobOutcome
    ) {
        self.kind = kind
        self.backoff = backoff
        self.body = body
    }

    func perform(_ job: LeasedJob, settlement: JobSettlement) async throws -> JobOutcome {
        try await body(job, settlement)
    }
}

/// Something many tasks report to and a test awaits.
final class EventLog<Event: Sendable>: Sendable {
    private struct State {
        var events: [Event] = []
        var waiters: [(count: Int, continuation: CheckedContinuation<Void, Never>)] = []
    }
    private let state = Mutex(State())

    func record(_ event: Event) {
        let woken = state.withLock { state -> [CheckedContinuation<Void, Never>] in
            state.events.append(event)
            let count = state.events.count
            let woken = state.waiters.filter { $0.count <= count }.map(\.continuation)
            state.waiters.removeAll { $0.count <= count }
            return woken
        }
        for continuation in woken { continuation.resume() }
    }

    var events: [Event] { state.withLock { $0.events } }

    /// Returns once there are that many.
    func wait(for count: Int) async {
        await withCheckedContinuation { continuation in
            let isThere = state.withLock { state in
                if state.events.count >= count { return true }
                state.waiters.append((count, continuation))
                return false
            }
            if isThere { continuation.resume() }
        }
    }
}

/// Runs `body` while the runner works, then drains it.
func whileRunning<T: Sendable>(_ runners: JobRunner..., body: () async throws -> T) async throws -> T {
    try await withThrowingTaskGroup(of: Void.self) { group in
        for runner in runners { group.addTask { try await runner.run() } }
        do {
            let result = try await body()
            for runner in runners { runner.drain() }
            try await group.waitForAll()
            return result
        } catch {
            group.cancelAll()
            throw error
        }
    }
}

struct TimedOut: Error {}

/// Looks again and again until `condition` holds; throws after `limit`.
func eventually(within limit: Duration = .seconds(60), _ condition: () async throws -> Bool) async throws {
    let began = ContinuousClock.now
    while try await !condition() {
        if ContinuousClock.now - began > limit { throw TimedOut() }
        try await Task.sleep(for: .milliseconds(5))
    }
}
