import Foundation
import Postgres
import TestSupport
import Testing

@testable import Queue

@Suite struct RedriveTests {
    /// Discarded jobs made in one statement: `count` of a kind in a queue, with an error type, `age` ago.
    private func discard(
        _ fixture: QueueFixture, _ count: Int, queue: Int = 1, kind: Int = 1, type: String = "TimedOut",
        age: String = "1 minute", from first: Int
    ) async throws {
        try await fixture.run(
            """
            insert into evergrant.jobs_discarded
            select g, now() - interval '\(age)', evergrant.changed(
                evergrant.fresh_job(g, \(queue), \(kind), 2::smallint, 25::smallint, null, null, null, '{}'), 25, 0,
                jsonb_build_object('type', '\(type)', 'message', 'message ' || g, 'attempt', 25), null)
            from generate_series(\(first), \(first + count - 1)) g;
            """)
    }

    private func prepare(_ fixture: QueueFixture) async throws {
        _ = try await fixture.queue.enqueue(
            [QueueFixture.job("k1", environmentID: 1), QueueFixture.job("k2", environmentID: 2)])
        try await fixture.run("delete from evergrant.jobs_ready")
    }

    @Test func `a kind that never was lists nothing, retries nothing, and is not made`() async throws {
        try await withQueue { fixture async throws in
            try await prepare(fixture)
            try await discard(fixture, 5, from: 100)
            let page = try await fixture.queue.list(JobFilter(kind: "nonsense"))
            #expect(page.jobs.isEmpty && page.cursor == nil)
            #expect(try await fixture.queue.retry(kind: "nonsense") == 0)
            let preview = try await fixture.queue.preview(JobSelection(kind: "nonsense"))
            #expect(preview.groups.isEmpty)
            let progress = try await fixture.queue.redrive(JobSelection(kind: "nonsense"), .delete)
            #expect(progress == RedriveProgress(isDone: true))
            #expect(try await fixture.count("job_kinds") == 2)
            #expect(try await fixture.count("jobs_discarded") == 5)
        }
    }

    @Test func `a preview groups by error, with an example, and a redrive moves just what it showed`() async throws {
        try await withQueue { fixture async throws in
            try await prepare(fixture)
            try await discard(fixture, 30, type: "TimedOut", from: 100)
            try await discard(fixture, 12, type: "Refused", age: "3 hours", from: 200)
            try await discard(fixture, 7, kind: 2, from: 300)
            try await discard(fixture, 9, queue: 2, from: 400)
            let here = JobSelection(kind: "k1", environmentID: 1)
            let preview = try await fixture.queue.preview(here)
            #expect(preview.isComplete && preview.jobs == 42)
            #expect(preview.groups.map { "\($0.errorType ?? "") \($0.jobs)" } == ["TimedOut 30", "Refused 12"])
            #expect(preview.groups.allSatisfy { $0.exampleMessage == "message \($0.exampleJobID)" })
            let capped = try await fixture.queue.preview(here, cap: 20)
            #expect(!capped.isComplete && capped.jobs == 20)

            var recent = here
            recent.since = Date(timeIntervalSinceNow: -3600)
            #expect(try await fixture.queue.preview(recent).jobs == 30)
            var refused = here
            refused.errorType = "Refused"
            #expect(try await fixture.queue.preview(refused).jobs == 12)

            let moved = try await fixture.queue.redrive(refused, .retry, batch: 5)
            #expect(moved.moved == 12 && moved.looked == 42 && moved.kept == 0 && moved.isDone)
            #expect(try await fixture.count("jobs_ready where queue = 1 and attempt = 0") == 12)
            let deleted = try await fixture.queue.redrive(recent, .delete, batch: 7)
            #expect(deleted.moved == 30 && deleted.isDone)
            #expect(try await fixture.count("jobs_finished where outcome = 5") == 30)
            #expect(try await fixture.count("jobs_discarded") == 16)
            let everywhere = try await fixture.queue.redrive(JobSelection(kind: "k1"), .retry)
            #expect(everywhere.moved == 9)
        }
    }

    @Test func `a redrive stops at its limit, tells its progress, and goes on where it was`() async throws {
        try await withQueue { fixture async throws in
            try await prepare(fixture)
            try await discard(fixture, 25, from: 100)
            var seen: [Int] = []
            let first = try await fixture.queue.redrive(JobSelection(kind: "k1"), .retry, limit: 12, batch: 5) {
                seen.append($0.moved)
            }
            #expect(first.moved == 12 && !first.isDone && seen == [5, 10, 12])
            let oldest = try await fixture.count("jobs_ready where job_id between 100 and 111")
            #expect(oldest == 12)
            let second = try await fixture.queue.redrive(JobSelection(kind: "k1"), .retry, limit: 6, batch: 100)
            #expect(second.moved == 6 && !second.isDone)
            let rest = try await fixture.queue.redrive(JobSelection(kind: "k1"), .retry, limit: 7, batch: 100)
            #expect(rest.moved == 7 && rest.isDone)
        }
    }

    @Test func `jobs that fail again while a redrive runs are left for the next one`() async throws {
        try await withQueue { fixture async throws in
            try await prepare(fixture)
            try await discard(fixture, 10, from: 100)
            // What is discarded after the beginning, whatever its id, is not of this redrive.
            try await discard(fixture, 4, age: "-1 minute", from: 50)
            let progress = try await fixture.queue.redrive(JobSelection(kind: "k1"), .retry, batch: 3)
            #expect(progress.moved == 10 && progress.isDone)
            #expect(try await fixture.count("jobs_discarded") == 4)
        }
    }

    @Test func `a discarded job whose key is taken by now stays, and the redrive ends`() async throws {
        try await withQueue { fixture async throws in
            let first = try await fixture.enqueue(QueueFixture.job("k1", key: "a"))
            let claim = try await fixture.claim(fixture.worker())
            try await fixture.settle(claim, act: 5)
            let second = try await fixture.enqueue(QueueFixture.job("k1", key: "a"))
            #expect(first != second)
            let progress = try await fixture.queue.redrive(JobSelection(kind: "k1"), .retry, batch: 1)
            #expect(progress == RedriveProgress(looked: 1, moved: 0, kept: 1, isDone: true))
            #expect(try await fixture.state(first) == .discarded)
            // Nor does such a job stand in the way of those behind it when a limit stops the batch before them.
            try await discard(fixture, 3, age: "-0 seconds", from: 9000)
            let one = try await fixture.queue.redrive(JobSelection(kind: "k1"), .retry, limit: 1)
            #expect(one.moved == 1 && one.kept == 1 && !one.isDone)
            #expect(try await fixture.queue.cancel(second) == .cancelled)
            #expect(try await fixture.queue.retry([first, second]) == 1)
            #expect(try await fixture.state(first) == .available)
        }
    }

    @Test func `only discarded jobs are deleted by their ids`() async throws {
        try await withQueue { fixture async throws in
            try await prepare(fixture)
            try await discard(fixture, 3, from: 100)
            let waiting = try await fixture.enqueue(QueueFixture.job("k1"))
            #expect(try await fixture.queue.delete([100, 102, waiting, 9_999_999]) == 2)
            #expect(try await fixture.state(100) == .deleted)
            #expect(try await fixture.state(101) == .discarded)
            #expect(try await fixture.state(waiting) == .available)
        }
    }

    @Test func `retrying a few jobs of many discarded ones reads them by their ids`() async throws {
        try await withQueue { fixture async throws in
            try await prepare(fixture)
            try await discard(fixture, 50_000, from: 1000)
            let before = try await fixture.value(
                "select coalesce(sum(idx_tup_fetch + seq_tup_read), 0)::bigint from pg_stat_xact_user_tables "
                    + "where relname = 'jobs_discarded'", as: Int64.self)
            #expect(before == 0)
            let read = try await fixture.pool.transaction { transaction in
                try await transaction.execute(Statements.retry, [.null, .int8Array([1500, 2500]), .int4(2)])
                return try await transaction.execute(
                    PostgresStatement(
                        "count reads",
                        "select coalesce(sum(idx_tup_fetch + seq_tup_read), 0)::bigint from pg_stat_xact_user_tables "
                            + "where relname = 'jobs_discarded'")
                ).first?.decode(Int64.self)
            }
            #expect((read ?? 99_999) < 50)
        }
    }

    @Test func `the view tells why a job is parked, and its limit keys one by one`() async throws {
        try await withQueue { fixture async throws in
            try await fixture.run(
                """
                insert into evergrant.jobs_parked (job_id, reason, limit_key, job)
                values (7, 'wait', 'b', evergrant.fresh_job(7, 1, 1, 1::smallint, 25::smallint, null, null, E'a\\nb', '{}'));
                """)
            let row = try #require(
                try await fixture.pool.execute(
                    PostgresStatement(
                        "read",
                        "select state, parked_reason, parked_key, limit_keys from evergrant.jobs where job_id = 7")
                ).first)
            let (state, reason, key, keys) = try row.decode(String.self, String.self, String.self, [String].self)
            #expect(state == "parked" && reason == "wait" && key == "b" && keys == ["a", "b"])
        }
    }
}
