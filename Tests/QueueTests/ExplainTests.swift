import Foundation
import Postgres
import TestSupport
import Testing

@testable import Queue

@Suite struct ExplainTests {
    /// A worker by hand that beats now and knows kinds; none: a scheduler.
    @discardableResult
    private func worker(_ fixture: QueueFixture, kinds: [String]?) async throws -> Int64 {
        if let kinds { try await fixture.queue.names.prepare(queues: [], kinds: kinds) }
        let ids = (kinds ?? []).compactMap { fixture.queue.names.kind($0) }
        return try await fixture.value(
            """
            insert into evergrant.workers (name, kinds, beat_at)
            values ('hand', \(kinds == nil ? "null" : "'{\(ids.map(String.init).joined(separator: ","))}'"), now())
            returning id
            """, as: Int64.self)
    }

    private func codes(_ fixture: QueueFixture, _ jobID: Int64) async throws -> [String] {
        try await fixture.queue.explain(jobID).reasons.map(\.code)
    }

    private func limited(_ keys: [String], runAt: Date? = nil) -> NewJob {
        var job = QueueFixture.job(runAt: runAt)
        job.limitKeys = keys
        return job
    }

    @Test func `a job that never was is unknown, and one that ended says how and when`() async throws {
        try await withQueue { fixture async throws in
            let nothing = try await fixture.queue.explain(4711)
            #expect(nothing.state == nil && nothing.reasons == [.unknown])
            #expect(abs(nothing.readAt.timeIntervalSinceNow) < 60)
            for (act, code) in [(Int16(0), "completed"), (6, "cancelled"), (5, "discarded")] {
                let jobID = try await fixture.enqueue(QueueFixture.job())
                try await fixture.settle(try await fixture.claim(fixture.worker()), act: act)
                let diagnosis = try await fixture.queue.explain(jobID)
                #expect(diagnosis.reasons.map(\.code) == [code] && diagnosis.needsOperator == (act == 5))
                #expect(!diagnosis.reason.sentence.contains("Optional"))
            }
        }
    }

    @Test func `a job in line has its place, what is more urgent, and what takes turns with it`() async throws {
        try await withQueue { fixture async throws in
            try await worker(fixture, kinds: ["test"])
            _ = try await fixture.queue.enqueue((0..<7).map { _ in QueueFixture.job(priority: 1) })
            _ = try await fixture.queue.enqueue((0..<3).map { _ in QueueFixture.job(environmentID: 2, priority: 0) })
            _ = try await fixture.queue.enqueue((0..<4).map { _ in QueueFixture.job(environmentID: 2) })
            _ = try await fixture.queue.enqueue((0..<5).map { _ in QueueFixture.job() })
            let jobID = try await fixture.enqueue(QueueFixture.job())
            let diagnosis = try await fixture.queue.explain(jobID)
            guard case .inLine(let position, let isCapped, let ahead, let beside) = diagnosis.reason else {
                Issue.record("\(diagnosis.reasons)")
                return
            }
            #expect(position == 6 && !isCapped && beside == 1 && diagnosis.reasons.count == 1)
            #expect(ahead.map { "\($0.environmentID) \($0.priority) \($0.jobs)" } == ["2 0 3", "1 1 7"])
            #expect(!diagnosis.needsOperator)
            #expect(
                diagnosis.reason.sentence
                    == "It is number 6 of its lane; 2 more urgent lanes with 10 jobs are served first; its lane takes turns "
                    + "with 1 other.")
        }
    }

    @Test func `a place is the same for a job that was queued again`() async throws {
        try await withQueue { fixture async throws in
            try await worker(fixture, kinds: ["test"])
            let jobID = try await fixture.enqueue(QueueFixture.job())
            try await fixture.settle(try await fixture.claim(fixture.worker()), act: 4)
            _ = try await fixture.enqueue(QueueFixture.job())
            #expect(
                try await fixture.queue.explain(jobID).reasons
                    == [.inLine(position: 1, isCapped: false, ahead: [], beside: 0)])
        }
    }

    @Test func `without a worker that beats, or one that knows the kind, that is said before the place`() async throws {
        try await withQueue { fixture async throws in
            let jobID = try await fixture.enqueue(QueueFixture.job())
            #expect(try await codes(fixture, jobID) == ["no_worker", "in_line"])
            try await worker(fixture, kinds: nil)
            #expect(try await codes(fixture, jobID) == ["no_worker", "in_line"])
            let other = try await worker(fixture, kinds: ["other"])
            #expect(try await codes(fixture, jobID) == ["kind_unknown_to_workers", "in_line"])
            // A fleet killed as a whole leaves nobody to declare it dead: its last beat tells.
            try await worker(fixture, kinds: ["test"])
            #expect(try await codes(fixture, jobID) == ["in_line"])
            try await fixture.run(
                "update evergrant.workers set beat_at = now() - interval '25 s', started_at = now() - interval '1 hour'"
            )
            let diagnosis = try await fixture.queue.explain(jobID)
            #expect(diagnosis.reasons.map(\.code) == ["no_worker", "in_line"] && diagnosis.needsOperator)
            guard case .noWorker(let last?) = diagnosis.reason else {
                Issue.record("\(diagnosis.reason)")
                return
            }
            #expect(abs(diagnosis.readAt.timeIntervalSince(last) - 25) < 5)
            try await fixture.declareDead(other)
        }
    }

    @Test func `a job due later says when and after which error, and one due waits for a scheduler`() async throws {
        try await withQueue { fixture async throws in
            try await worker(fixture, kinds: ["test"])
            let due = Date(timeIntervalSinceNow: 3600)
            let jobID = try await fixture.enqueue(QueueFixture.job(runAt: due))
            let diagnosis = try await fixture.queue.explain(jobID)
            #expect(diagnosis.reasons.map(\.code) == ["not_due"])
            #expect(abs((diagnosis.reason.until ?? .distantPast).timeIntervalSince(due)) < 0.01)
            try await fixture.run("update evergrant.jobs_scheduled set run_at = now() - interval '5 s'")
            let late = try await fixture.queue.explain(jobID)
            #expect(late.reasons.map(\.code) == ["awaiting_promotion"] && late.needsOperator)
            try await worker(fixture, kinds: nil)
            #expect(try await fixture.queue.explain(jobID).needsOperator == false)
            _ = try await fixture.maintenance.promote()
            #expect(try await codes(fixture, jobID) == ["in_line"])
            // A retry says what it failed of.
            let claim = try await fixture.claim(fixture.worker())
            let note = Array(#"{"type": "TimedOut", "message": "no answer"}"#.utf8)
            try await fixture.pool.execute(
                Statements.settle,
                [
                    .int8(claim.lease), .int8(claim.worker), .int8(jobID), .int2(1), .float8(600), .jsonb(note),
                    .bool(true),
                ])
            #expect(try await fixture.queue.explain(jobID).reason.sentence.hasSuffix("after TimedOut: no answer."))
        }
    }

    @Test func `pauses of its queue, kind and limit key are named, before it is parked and after`() async throws {
        try await withQueue { fixture async throws in
            try await worker(fixture, kinds: ["test"])
            let jobID = try await fixture.enqueue(limited(["a", "b"]))
            try await fixture.queue.setPaused(true, queue: QueueName(environmentID: 1, name: "default"))
            try await fixture.queue.pause(.kind("test"))
            try await fixture.queue.pause(.limitKey("b"))
            let diagnosis = try await fixture.queue.explain(jobID)
            #expect(
                diagnosis.reasons.dropLast() == [
                    .queuePaused(QueueName(environmentID: 1, name: "default")), .kindPaused("test", parked: false),
                    .limitKeyPaused("b", parked: false),
                ])
            #expect(diagnosis.needsOperator && diagnosis.reasons.last?.code == "in_line")
            try await fixture.queue.setPaused(false, queue: QueueName(environmentID: 1, name: "default"))
            // The runner that parks it.
            let runner = fixture.runner([ClosureHandler { _, _ in .complete }])
            try await whileRunning(runner) {
                try await eventually { try await fixture.state(jobID) == .parked }
                #expect(
                    try await fixture.queue.explain(jobID).reasons == [
                        .kindPaused("test", parked: true), .limitKeyPaused("b", parked: false),
                    ])
                try await fixture.run("delete from evergrant.pauses")
                #expect(try await codes(fixture, jobID) == ["returning"])
            }
        }
    }

    @Test func `a limit tells how full it is, its rate, its block, and the place among those who wait`() async throws {
        try await withQueue { fixture async throws in
            try await worker(fixture, kinds: ["test"])
            try await fixture.queue.setLimit(JobLimit(key: "full", concurrency: 2))
            try await fixture.run("update evergrant.limits set in_use = 2")
            let first = try await fixture.enqueue(limited(["full"]))
            let early = try await fixture.queue.explain(first)
            #expect(early.reason == .limitFull(key: "full", inUse: 2, concurrency: 2, position: nil))
            try await fixture.run(
                """
                with d as (delete from evergrant.jobs_ready r returning r)
                insert into evergrant.jobs_parked (job_id, reason, limit_key, job)
                select (r).id, 'wait', 'full', r from d;
                """)
            let second = try await fixture.enqueue(limited(["full"]))
            try await fixture.run(
                """
                with d as (delete from evergrant.jobs_ready r returning r)
                insert into evergrant.jobs_parked (job_id, reason, limit_key, job)
                select (r).id, 'wait', 'full', r from d;
                """)
            #expect(
                try await fixture.queue.explain(second).reasons
                    == [.limitFull(key: "full", inUse: 2, concurrency: 2, position: 2)])
            let third = try await fixture.enqueue(limited(["full"]))
            try await fixture.run("update evergrant.limits set in_use = 1")
            #expect(try await codes(fixture, third) == ["behind_waiting", "in_line"])
            #expect(try await codes(fixture, first) == ["returning"])
            #expect(try await codes(fixture, second) == ["behind_waiting"])

            try await fixture.queue.setLimit(JobLimit(key: "rate", rate: 0.1, burst: 1))
            try await fixture.run("update evergrant.limits set tokens = 0, refilled_at = clock_timestamp()")
            let slow = try await fixture.enqueue(limited(["rate"]))
            let rated = try await fixture.queue.explain(slow)
            #expect(rated.reason.code == "limit_rate")
            let wait = (rated.reason.until ?? .distantPast).timeIntervalSince(rated.readAt)
            #expect(wait > 0 && wait <= 10.1)

            try await fixture.queue.block(limitKey: "rate", for: .seconds(600), because: "429 from the provider")
            let blocked = try await fixture.queue.explain(slow)
            #expect(
                blocked.reason.code == "limit_blocked" && blocked.reason.sentence.hasSuffix("429 from the provider"))
            #expect((blocked.reason.until ?? .distantPast).timeIntervalSinceNow > 500)
            #expect(!blocked.needsOperator)
            // Due long after the block: the block is not why.
            let later = try await fixture.enqueue(limited(["rate"], runAt: Date(timeIntervalSinceNow: 3600)))
            #expect(try await codes(fixture, later) == ["not_due"])
        }
    }

    @Test func `a running job has its worker, the beat of it, and what its key is wanted for again`() async throws {
        try await withQueue { fixture async throws in
            let jobID = try await fixture.enqueue(QueueFixture.job(key: "a"))
            let mine = try await worker(fixture, kinds: ["test"])
            let claim = try await fixture.claim(mine)
            let running = try await fixture.queue.explain(jobID)
            guard case .running(let worker, "hand", let since?, let age) = running.reason else {
                Issue.record("\(running.reasons)")
                return
            }
            #expect(worker == mine && age < 20 && abs(since.timeIntervalSince(running.readAt)) < 20)
            #expect(running.reasons.count == 1 && !running.needsOperator)
            try await fixture.run("update evergrant.workers set beat_at = now() - interval '90 s'")
            let silent = try await fixture.queue.explain(jobID)
            #expect(silent.needsOperator && silent.reason.sentence.contains("has not beaten for 90 s"))
            let again = try await fixture.queue.enqueue([QueueFixture.job(key: "a")])
            #expect(again.first?.outcome == .again)
            #expect(try await fixture.queue.cancel(jobID) == .asked)
            #expect(try await codes(fixture, jobID) == ["running", "cancel_asked", "wanted_again"])
            let holder = try await fixture.queue.holder(ofKey: "a", kind: "test", environmentID: 1)
            #expect(holder.jobID == jobID && holder.wishes == 0)
            try await fixture.declareDead(mine)
            #expect(try await codes(fixture, jobID).first == "awaiting_rescue")
            try await fixture.run("update evergrant.workers set dead = false")
            try await fixture.settle(claim)
            #expect(try await codes(fixture, jobID) == ["completed"])
            let next = try await fixture.queue.holder(ofKey: "a", kind: "test", environmentID: 1)
            #expect(next.jobID != nil && next.jobID != jobID)
            let nobody = try await fixture.queue.holder(ofKey: "b", kind: "test", environmentID: 1)
            #expect(nobody.jobID == nil)
        }
    }

    @Test func `a job that an open transaction holds says so, and which process that is`() async throws {
        try await withQueue { fixture async throws in
            try await worker(fixture, kinds: ["test"])
            let jobID = try await fixture.enqueue(QueueFixture.job(key: "a"))
            try await fixture.pool.transaction { stranger in
                let process = try await stranger.execute(PostgresStatement("pid", "select pg_backend_pid()")).first?
                    .decode(Int32.self)
                let result = try await fixture.queue.enqueue([QueueFixture.job(key: "a")], in: stranger)
                #expect(result.first?.outcome == .waiting)
                let reasons = try await fixture.queue.explain(jobID).reasons
                #expect(reasons.first == .held(byProcess: process))
                // Another keyed enqueue cannot wait for that: it is written down, and the job tells of it.
                let wish = try await fixture.queue.enqueue([QueueFixture.job(key: "a")])
                #expect(wish.first?.outcome == .wish)
                #expect(try await codes(fixture, jobID) == ["held", "in_line", "wanted_again"])
            }
            #expect(try await codes(fixture, jobID) == ["in_line", "wanted_again"])
            _ = try await fixture.maintenance.foldWishes()
            #expect(try await codes(fixture, jobID) == ["in_line"])
        }
    }

    @Test func `an explanation reads one snapshot, by indexes alone`() async throws {
        try await withQueue { fixture async throws in
            let properties = try await fixture.pool.execute(
                PostgresStatement(
                    "properties",
                    "select provolatile::text, 'enable_seqscan=off' = any(proconfig) from pg_proc where proname = 'explain_job'"
                )
            ).first?.decode(String.self, Bool.self)
            #expect(properties?.0 == "s" && properties?.1 == true)
        }
    }
}
