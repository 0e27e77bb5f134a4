import Foundation
import Postgres
import Synchronization
import TestSupport
import Testing

@testable import Queue

/// The low-water mark's fence against enqueues that commit late, and the two variants of it that lose their jobs.
@Suite struct FenceTests {
    /// Where a slow writer stands while others go past it.
    enum Pause: CaseIterable {
        /// It has its row and has not committed.
        case beforeCommit
        /// It has drawn its id and has no row yet.
        case beforeRow
    }

    /// What the tasks of one test have seen.
    private final class Seen: Sendable {
        struct Values {
            var mark: Int64 = 0
            var passed: [String] = []
            var written = 0
        }
        let values = Mutex(Values())
    }

    /// Draws S0 and X0; the closure reads the mark of queue 1, priority 2: nil while it must stay.
    typealias Scout = @Sendable (QueueFixture) async throws -> @Sendable () async throws -> Int64?

    static let ours: Scout = { fixture in
        let (last, server) = try #require(try await fixture.pool.execute(Statements.lastID).first)
            .decode(Int64.self, Double.self)
        let fence = try #require(try await fixture.pool.execute(Statements.fence).value(UInt64.self))
        return {
            let rows = try await fixture.pool.execute(
                Statements.low,
                [.xid8(fence), .int8(last), .int4Array([1]), .int2Array([2]), .int8Array([0]), .float8(server)])
            return try rows.first.map { try $0["least", as: Int64.self] }
        }
    }

    /// X0 is the upper end of a snapshot, which is the very number of a writer that came last.
    static let snapshotEnd: Scout = { fixture in
        let (last, fence) = try #require(
            try await fixture.pool.execute(
                PostgresStatement(
                    "draw faulty fence",
                    """
                    select case when is_called then last_value else 0 end, pg_snapshot_xmax(pg_current_snapshot())
                    from evergrant.job_ids
                    """)
            ).first
        ).decode(Int64.self, UInt64.self)
        return {
            try await fixture.pool.execute(
                PostgresStatement(
                    "faulty low",
                    """
                    select coalesce((select min(id) from evergrant.jobs_ready
                        where queue = 1 and priority = 2 and id <= $1::bigint), $1::bigint + 1)
                    where pg_snapshot_xmin(pg_current_snapshot()) >= $2::xid8
                    """),
                [.int8(last), .xid8(fence)]
            ).value(Int64.self)
        }
    }

    private func prepare(_ fixture: QueueFixture) async throws {
        try await fixture.run(
            """
            create function slow() returns trigger language plpgsql as $$
            begin
                if new.args ? 'slow' then perform pg_advisory_xact_lock_shared(43); end if;
                return new;
            end $$;
            create trigger slow before insert on evergrant.jobs_ready for each row execute function slow();
            """)
    }

    /// A writer stops at `pause`, a scout draws its numbers, and reads the mark `reads` times while the writer stands,
    /// others going past it; then the writer commits. Whether a claim from the highest mark finds its job.
    private func isFound(
        _ fixture: QueueFixture, _ worker: Int64, _ pause: Pause, _ scout: Scout, until marked: Bool
    ) async throws -> Bool {
        _ = try await fixture.queue.enqueue((0..<3).map { _ in QueueFixture.job() })
        _ = try await fixture.claim(worker)
        let (low, jobID) = try await withThrowingTaskGroup(of: Int64.self) { group in
            func watch() async throws -> Int64 {
                let read = try await scout(fixture)
                var low: Int64 = 0
                if marked { return try await read() ?? 0 }
                for _ in 0..<3 {
                    low = max(low, try await read() ?? 0)
                    _ = try await fixture.queue.enqueue([QueueFixture.job()])
                }
                return low
            }
            switch pause {
            case .beforeCommit:
                return try await fixture.pool.transaction { writer async throws in
                    let jobID = try #require(try await fixture.queue.enqueue([QueueFixture.job()], in: writer)[0].jobID)
                    return (try await watch(), jobID)
                }
            case .beforeRow:
                let low = try await fixture.holdingGate {
                    group.addTask { try await fixture.enqueue(QueueFixture.job("test", #"{"slow": 1}"#)) }
                    try await fixture.someoneWaits()
                    guard marked else { return try await watch() }
                    var low: Int64 = 0
                    try await eventually {
                        low = try await watch()
                        return low > 0
                    }
                    return low
                }
                return (low, try #require(try await group.next()))
            }
        }
        let found = try await fixture.claim(worker, low: low).jobs.contains(jobID)
        _ = try await fixture.claim(worker)
        return found
    }

    @Test(arguments: Pause.allCases) func `a job that commits late is found from the mark`(pause: Pause) async throws {
        try await withOwnQueue { fixture async throws in
            try await prepare(fixture)
            let worker = try await fixture.worker()
            for _ in 0..<5 {
                #expect(try await isFound(fixture, worker, pause, Self.ours, until: false))
            }
        }
    }

    /// The writer must be the last that drew a transaction id in the whole cluster: tried again beside autovacuum.
    @Test func `a fence at the end of a snapshot loses a job that commits late`() async throws {
        try await withQuietCluster { fixture async throws in
            try await prepare(fixture)
            let worker = try await fixture.worker()
            try await eventually(within: .seconds(60)) {
                try await !isFound(fixture, worker, .beforeCommit, Self.snapshotEnd, until: true)
            }
        }
    }

    @Test func `ids drawn before a transaction id lose a job that commits late`() async throws {
        try await withQuietCluster { fixture async throws in
            try await prepare(fixture)
            let worker = try await fixture.worker()
            try await fixture.run(
                "alter table evergrant.jobs_ready alter id set default nextval('evergrant.job_ids')")
            #expect(try await !isFound(fixture, worker, .beforeRow, Self.ours, until: true))
        }
    }

    @Test func `an id drawn inside a savepoint holds the mark like any other`() async throws {
        try await withQueue { fixture async throws in
            _ = try await fixture.enqueue(QueueFixture.job())
            let worker = try await fixture.worker()
            _ = try await fixture.claim(worker)
            let (jobID, read) = try await fixture.pool.transaction { writer async throws in
                try await writer.execute(PostgresStatement("savepoint", "savepoint a"))
                let jobID = try #require(try await fixture.queue.enqueue([QueueFixture.job()], in: writer)[0].jobID)
                let read = try await Self.ours(fixture)
                _ = try await fixture.queue.enqueue((0..<5).map { _ in QueueFixture.job() })
                #expect(try await read() == nil)
                try await writer.execute(PostgresStatement("release", "release savepoint a"))
                #expect(try await read() == nil)
                return (jobID, read)
            }
            try await eventually { try await read() == jobID }
            #expect(try await fixture.claim(worker, low: jobID).jobs.count == 6)
        }
    }

    @Test func `no mark passes an open transaction's job, whatever writers, claims and savepoints do`() async throws {
        try await withOwnQueue { fixture async throws in
            let pool = fixture.database.pool { $0.maximumConnections = 10 }
            _ = try await fixture.queue.enqueue([QueueFixture.job()])
            let seen = Seen()
            let end = ContinuousClock.now + .seconds(2)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<5 as Range<UInt64> {
                    group.addTask {
                        var generator = SeededGenerator(number)
                        while ContinuousClock.now < end {
                            do {
                                try await pool.transaction { writer async throws in
                                    if Int.random(in: 0..<3, using: &generator) == 0 {
                                        try await writer.execute(PostgresStatement("savepoint", "savepoint x"))
                                    }
                                    let jobs = (0..<Int.random(in: 1...5, using: &generator)).map { _ in
                                        QueueFixture.job()
                                    }
                                    let first = try await fixture.queue.enqueue(jobs, in: writer)[0].jobID ?? 0
                                    try await Task.sleep(
                                        for: .milliseconds(Int.random(in: 0...60, using: &generator)))
                                    let low = seen.values.withLock { $0.mark }
                                    if low > first {
                                        seen.values.withLock { $0.passed.append("\(low) passed \(first)") }
                                    }
                                    if Int.random(in: 0..<5, using: &generator) == 0 { throw RolledBack() }
                                }
                            } catch is RolledBack {}
                            seen.values.withLock { $0.written += 1 }
                        }
                    }
                }
                group.addTask {
                    while ContinuousClock.now < end {
                        let read = try await Self.ours(fixture)
                        var low: Int64?
                        while low == nil, ContinuousClock.now < end {
                            low = try await read()
                            try await Task.sleep(for: .milliseconds(1))
                        }
                        seen.values.withLock { [low] in $0.mark = max($0.mark, low ?? 0) }
                    }
                }
                group.addTask {
                    let worker = try await fixture.worker()
                    var leases: [Int64] = []
                    while ContinuousClock.now < end {
                        let claim = try await fixture.claim(
                            worker, settling: leases, low: seen.values.withLock { $0.mark })
                        leases = claim.lease == 0 ? [] : [claim.lease]
                        if leases.isEmpty { try await Task.sleep(for: .milliseconds(2)) }
                    }
                }
                try await group.waitForAll()
            }
            let low = seen.values.withLock { $0.mark }
            #expect(seen.values.withLock { $0.passed } == [])
            // Few on a machine that has much else to do.
            #expect(low > 1 && seen.values.withLock { $0.written } > 3)
            #expect(try await fixture.count("jobs_ready where id < \(low)") == 0)
        }
    }
}
