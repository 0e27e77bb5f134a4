import Foundation
import Postgres
import TestSupport
import Testing

@testable import Queue

@Suite struct DepthTests {
    @Test func `a lane tells what is in line, running, due soon and how old its head is`() async throws {
        try await withQueue { fixture async throws in
            _ = try await fixture.queue.enqueue((0..<12).map { _ in QueueFixture.job(priority: 1) })
            _ = try await fixture.claim(fixture.worker(), limit: 4)
            _ = try await fixture.queue.enqueue(
                (0..<3).map { _ in QueueFixture.job(priority: 1, runAt: Date(timeIntervalSinceNow: 30)) }
                    + [QueueFixture.job(priority: 1, runAt: Date(timeIntervalSinceNow: 3600))]
                    + (0..<5).map { _ in QueueFixture.job(environmentID: 2, priority: 3) })
            try await fixture.run(
                "update evergrant.jobs_ready set created_at = now() - interval '1 hour' where queue = 1")
            let lanes = try await fixture.queue.lanes()
            #expect(lanes.map(\.environmentID) == [1, 2] && lanes.map(\.priority) == [1, 3])
            #expect(lanes.map(\.jobs) == [8, 5] && lanes.map(\.running) == [4, 0] && lanes.map(\.dueSoon) == [3, 0])
            #expect((lanes[0].oldestAge ?? 0) > 3599 && (lanes[1].oldestAge ?? 9999) < 600)
            #expect(lanes.allSatisfy { !$0.isPaused && !$0.isCapped })
            let other = try await fixture.queue.lanes(environmentID: 2, cap: 5)
            #expect(other.map(\.jobs) == [5] && other.allSatisfy { $0.environmentID == 2 && $0.isCapped })
            let none = try await fixture.queue.lanes(environmentID: 3)
            #expect(none.isEmpty)
        }
    }

    @Test func `parked and discarded jobs are counted by what holds them, and by kind`() async throws {
        try await withQueue { fixture async throws in
            _ = try await fixture.queue.enqueue(
                (0..<6).map { QueueFixture.job("k\($0 % 2)", environmentID: 1) }
                    + (0..<4).map { _ in QueueFixture.job("k0", environmentID: 2) })
            let worker = try await fixture.worker()
            let claim = try await fixture.claim(worker)
            try await fixture.settle(claim, act: 5)
            try await fixture.run(
                """
                insert into evergrant.jobs_parked (job_id, reason, limit_key, job)
                select g, case when g % 3 = 0 then 'kind' else 'wait' end, 'name' || g % 2,
                    evergrant.fresh_job(g, 1, 1, 1::smallint, 25::smallint, null, null, null, '{}')
                from generate_series(100, 129) g;
                """)
            let discarded = try await fixture.queue.discarded()
            #expect(discarded.map { "\($0.environmentID) \($0.kind) \($0.jobs)" } == ["1 k0 3", "1 k1 3"])
            let parked = try await fixture.queue.parked(cap: 8)
            let words = parked.map { "\($0.reason.rawValue) \($0.name) \($0.jobs)\($0.isCapped ? "+" : "")" }
            #expect(words.sorted() == ["kind name0 5", "kind name1 5", "wait name0 8+", "wait name1 8+"])
            #expect(try await fixture.queue.discarded(environmentID: 2).isEmpty)
        }
    }

    /// Pages that a statement touches, as the executor counts them.
    private func pages(_ fixture: QueueFixture, _ sql: String) async throws -> (pages: Int, plan: String) {
        let statement = PostgresStatement("explain", "explain (analyze, buffers, timing off, costs off) \(sql)")
        // Twice in one session: the first time it also reads catalogs, to plan.
        let rows = try await fixture.pool.withConnection { connection in
            try await connection.execute(statement)
            return try await connection.execute(statement)
        }
        let lines = try rows.map { try $0.decode(String.self) }
        let first = lines.first { $0.contains("Buffers:") } ?? ""
        let counts = first.split(separator: " ").compactMap { word in
            word.hasPrefix("hit=") || word.hasPrefix("read=") ? Int(word.drop { $0 != "=" }.dropFirst()) : nil
        }
        return (counts.reduce(0, +), lines.joined(separator: "\n"))
    }

    @Test func `with 200,000 jobs in line few pages are read, whatever the statistics say`() async throws {
        try await withQueue { fixture async throws in
            _ = try await fixture.queue.enqueue((1...4).map { QueueFixture.job(environmentID: Int64($0)) })
            try await fixture.run(
                """
                delete from evergrant.jobs_ready;
                insert into evergrant.jobs_ready (queue, kind, priority, args)
                select 1 + g / 50000, 1, g / 25000 % 2, '{"connection": 123456}' from generate_series(0, 199999) g;
                insert into evergrant.jobs_discarded
                select g, now(), evergrant.fresh_job(
                    g, 1 + g % 4, 1, 1::smallint, 25::smallint, null, null, null, '{}')
                from generate_series(1, 20000) g;
                insert into evergrant.jobs_scheduled
                select now() + g * interval '1 second', 1000000 + g, evergrant.fresh_job(
                    1000000 + g, 1, 1, 1::smallint, 25::smallint, null, null, null, '{}')
                from generate_series(1, 20000) g;
                """)
            let all = try await fixture.value(
                "select pg_relation_size('evergrant.jobs_ready') / 8192", as: Int.self)
            let middle = try await fixture.value(
                "select id from evergrant.jobs_ready where queue = 2 order by id offset 2000 limit 1", as: Int64.self)
            for round in ["without statistics", "with statistics"] {
                let lanes = try await pages(fixture, "select * from evergrant.lanes_now(null, 1000)")
                // 8 lanes of 1,000 entries, their index pages and the heap pages that no vacuum has marked yet.
                #expect(lanes.pages < all / 4, "\(round): \(lanes.pages) of \(all)\n\(lanes.plan)")
                let one = try await pages(fixture, "select * from evergrant.lanes_now(1, 100)")
                #expect(one.pages < 200, "\(round): \(one.pages)\n\(one.plan)")
                let discarded = try await pages(fixture, "select * from evergrant.discarded_now(null, 100)")
                #expect(discarded.pages < 200, "\(round): \(discarded.pages)\n\(discarded.plan)")
                let why = try await pages(fixture, "select evergrant.explain_job(\(middle))")
                #expect(why.pages < 400, "\(round): \(why.pages)\n\(why.plan)")
                let preview = try await pages(
                    fixture, "select * from evergrant.discarded_preview(1, null, null, null, 100)")
                #expect(preview.pages < 800, "\(round): \(preview.pages)\n\(preview.plan)")
                let counted = try await fixture.queue.lanes(cap: 1000)
                #expect(counted.count == 8 && counted.allSatisfy { $0.jobs == 1000 && $0.isCapped })
                try await fixture.run("analyze evergrant.jobs_ready; analyze evergrant.jobs_discarded")
            }
        }
    }

    @Test func `with many deep lanes each is counted less far, and all together no further than 200,000`() async throws
    {
        try await withQueue { fixture async throws in
            _ = try await fixture.queue.enqueue((1...40).map { QueueFixture.job(environmentID: Int64($0)) })
            try await fixture.run(
                """
                insert into evergrant.jobs_ready (queue, kind, priority, args)
                select 1 + g % 40, 1, 2, '{}' from generate_series(1, 240000) g;
                """)
            let lanes = try await fixture.queue.lanes()
            #expect(lanes.count == 40)
            #expect(lanes.allSatisfy { $0.jobs == 5000 && $0.isCapped })
        }
    }

    @Test func `workers tell what they run, and how long ago they beat`() async throws {
        try await withQueue { fixture async throws in
            let log = EventLog<Int64>()
            let gate = EventLog<Void>()
            let runner = fixture.runner([
                ClosureHandler("slow") { job, _ in
                    log.record(job.jobID)
                    await gate.wait(for: 1)
                    return .complete
                }
            ]) { $0.name = "here" }
            let scheduler = try await fixture.worker()
            try await whileRunning(runner) {
                _ = try await fixture.enqueue(QueueFixture.job("slow"))
                await log.wait(for: 1)
                try await eventually { try await fixture.queue.workers().contains { $0.beat > 1 } }
                let workers = try await fixture.queue.workers()
                let mine = try #require(workers.first { $0.name == "here" })
                #expect(mine.kinds == ["slow"] && mine.running == 1 && !mine.isDead && mine.beatAge < 20)
                let other = try #require(workers.first { $0.workerID == scheduler })
                #expect(other.kinds == nil && other.running == 0)
                gate.record(())
            }
            let left = try await fixture.queue.workers()
            #expect(left.map(\.workerID) == [scheduler])
        }
    }
}
