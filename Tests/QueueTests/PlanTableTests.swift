import Foundation
import Postgres
import TestSupport
import Testing

@testable import Queue

/// Every statement of the queue, and every statement inside its functions, reads by index and reads little, whatever the
/// planner knows of the tables. One row of `table` each; the rows read are counted, not guessed from the plan.
@Suite(.serialized) struct PlanTableTests {
    enum Statistics: CaseIterable {
        /// Analyzed with all rows in place.
        case fresh
        /// Analyzed with a hundred rows in each table, 30,000 since.
        case stale
        /// Never analyzed.
        case none
        /// Never analyzed, and planned, functions included, by a session that found a hundred rows.
        case plannedEarly
    }

    static let rows = 30_000
    /// What a statement for up to 100 jobs may read of one large table, by one scan.
    static let most = 3000

    struct Row: Sendable {
        let name: String
        let indexes: [String]
        /// Also run by sessions without `JobQueue.sessionSettings`: the front's, the app's.
        var isPlain = false
        /// Large tables that it may read from end to end, with the reason where it is defined.
        var reads: [String] = []
        let run: @Sendable (PostgresTransaction, Things) async throws -> Void
    }

    /// What the statements are about.
    struct Things: Sendable {
        let server: Double
        let worker: Int64
        /// Of `worker`: 20 jobs, three of them with keys.
        let lease: Int64
        let jobs: [Int64]
        /// Of `worker`: 20 jobs, none with a key, and nothing settled.
        let whole: Int64
        /// Of a dead worker.
        let lost: Int64
        let deadWorker: Int64
    }

    /// Leases that every case has: made by claims, as in life.
    private func things(_ fixture: QueueFixture) async throws -> Things {
        func lease(_ worker: Int64, keyed: Bool) async throws -> Int64 {
            try await fixture.value(
                """
                with d as (
                    delete from evergrant.jobs_ready where id in (
                        select id from evergrant.jobs_ready where (ukey is not null) = \(keyed) and queue <> 1
                        order by id desc limit 3)
                    returning jobs_ready as job),
                e as (
                    delete from evergrant.jobs_ready where id in (
                        select id from evergrant.jobs_ready where ukey is null and queue <> 1 order by id limit 5)
                    returning jobs_ready as job)
                insert into evergrant.leases (worker, keyed, jobs)
                select \(worker), \(keyed), array_agg(job) from (select * from d union all select * from e) x returning id
                """, as: Int64.self)
        }
        let worker = try await fixture.worker()
        let dead = try await fixture.worker()
        try await fixture.declareDead(dead)
        let keyed = try await lease(worker, keyed: true)
        let whole = try await lease(worker, keyed: false)
        let lost = try await lease(dead, keyed: true)
        let jobs = try await fixture.pool.execute(
            PostgresStatement(
                "list jobs",
                "select coalesce(j.job_id, j.id) from evergrant.leases l, unnest(l.jobs) j where l.id = $1"),
            [.int8(keyed)]
        ).map { try $0.decode(Int64.self) }
        try await fixture.run(
            "insert into evergrant.job_cancels values (\(jobs[0])), (40000001) on conflict do nothing")
        return Things(
            server: try await fixture.server(), worker: worker, lease: keyed, jobs: jobs, whole: whole, lost: lost,
            deadWorker: dead)
    }

    @Test(arguments: Statistics.allCases) func `each statement reads by its index, and little`(
        statistics: Statistics
    ) async throws {
        try await withOwnQueue { fixture async throws in
            try await LargeTables.fill(fixture, from: 0, to: 100)
            let early = try await things(fixture)
            if statistics == .stale { try await fixture.run("analyze") }
            let plain = try await PlanRecorder(fixture.database, settings: [:])
            let worker = try await PlanRecorder(fixture.database, settings: JobQueue.sessionSettings)
            if statistics == .plannedEarly {
                for row in Self.table {
                    // Six times: a session chooses between general and special plans after the fifth.
                    for _ in 0..<(row.isPlain ? 6 : 0) { _ = try await plain.scans { try await row.run($0, early) } }
                    _ = try await worker.scans { try await row.run($0, early) }
                }
            }
            try await LargeTables.fill(fixture, from: 100, to: Self.rows)
            try await LargeTables.summarize(fixture)
            let things = try await things(fixture)
            if statistics == .fresh { try await fixture.run("analyze") }
            for row in Self.table {
                for (session, recorder) in [("worker's", worker), ("plain", plain)] {
                    if session == "plain", !row.isPlain { continue }
                    let scans = try await recorder.scans { try await row.run($0, things) }
                    let context = "\(row.name), \(session) session, statistics \(statistics)"
                    for scan in scans {
                        let table = LargeTables.large.first { scan.table.hasPrefix($0) }
                        guard let table, !row.reads.contains(table) else { continue }
                        #expect(scan.node != "Seq Scan" || scan.rows <= 1, "\(context): \(scan)")
                        #expect(scan.rows <= Self.most, "\(context): \(scan)")
                    }
                    for index in row.indexes {
                        #expect(
                            scans.contains { $0.index?.hasPrefix(index) == true },
                            "\(context): \(index) is not used in \(scans.map { "\($0.node) \($0.table) \($0.index ?? "")" })"
                        )
                    }
                }
            }
            await plain.close()
            await worker.close()
        }
    }

    @Test func `the recorder sees a scan of a whole table, also inside a function`() async throws {
        try await withOwnQueue { fixture async throws in
            try await LargeTables.fill(fixture, from: 0, to: 1000)
            try await fixture.run(
                """
                create function reads_all() returns bigint language plpgsql as $$
                begin return (select count(*) from evergrant.jobs_ready where kind + 0 = 7); end $$
                """)
            let recorder = try await PlanRecorder(fixture.database, settings: JobQueue.sessionSettings)
            let scans = try await recorder.scans {
                try await $0.execute(PostgresStatement("read all", "select reads_all()"))
            }
            await recorder.close()
            #expect(scans.contains { $0.table == "jobs_ready" && $0.node == "Seq Scan" && $0.rows == 1000 }, "\(scans)")
        }
    }
}
