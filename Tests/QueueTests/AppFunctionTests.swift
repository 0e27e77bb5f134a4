import Foundation
import Postgres
import TestSupport
import Testing

@testable import Queue

/// Enqueue, look, cancel and retry by SQL, as an app does with its own login.
@Suite struct AppFunctionTests {
    @Test func `a job is there when the app's transaction commits, and never when it rolls back`() async throws {
        try await withApp { world async throws in
            struct Undone: Error {}
            await #expect(throws: Undone.self) {
                try await world.app.transaction { transaction async throws in
                    let jobID = try await world.enqueue("'mail.send'", in: transaction)
                    #expect(jobID != nil)
                    #expect(try await world.fixture.count("jobs_ready") == 0)
                    throw Undone()
                }
            }
            #expect(try await world.fixture.count("jobs_ready") == 0)
            let jobID = try await world.app.transaction { transaction async throws in
                try await world.enqueue(#"'mail.send', '{"letter": 7}'"#, in: transaction)
            }
            let record = try await world.fixture.record(jobID)
            #expect(record.kind == "mail.send" && record.state == .available && record.environmentID == world.test)
            #expect(record.queue == "default" && record.priority == 2 && record.maximumAttempts == 25)
            #expect(record.arguments == Array(#"{"letter": 7}"#.utf8))
        }
    }

    @Test func `a worker performs what was enqueued by SQL, due later and keyed jobs too`() async throws {
        try await withApp { world async throws in
            let done = EventLog<String>()
            let runner = world.fixture.runner([
                ClosureHandler("mail.send") { job, _ in
                    done.record("\(job.queue) \(String(decoding: job.arguments, as: UTF8.self))")
                    return .complete
                }
            ])
            var jobs: [Int64] = []
            for arguments in [
                "'mail.send', '{\"n\": 1}'", "'mail.send', '{\"n\": 2}', unique_key => 'k', queue => 'letters'",
                "'mail.send', '{\"n\": 3}', run_at => now() + interval '1 day'",
            ] {
                jobs.append(try #require(try await world.enqueue(arguments)))
            }
            #expect(try await world.fixture.state(jobs[2]) == .scheduled)
            try await world.fixture.run("update evergrant.jobs_scheduled set run_at = now()")
            try await world.fixture.maintenance.promote()
            try await whileRunning(runner) { await done.wait(for: 3) }
            #expect(Set(done.events) == [#"default {"n": 1}"#, #"letters {"n": 2}"#, #"default {"n": 3}"#])
            for job in jobs {
                let state = try await world.ask("select state from evergrant.job(\(job))", as: String.self)
                #expect(state == "completed")
            }
            #expect(try await world.fixture.count("job_keys") == 0)
        }
    }

    @Test func `many jobs are one call, answered in their order`() async throws {
        try await withApp { world async throws in
            let rows = try await world.app.execute(
                PostgresStatement(
                    "app",
                    """
                    select place, job_id, outcome from evergrant.enqueue_many($1)
                    """),
                [
                    .jsonb(
                        Array(
                            """
                            [{"kind": "mail.send", "unique_key": "a", "args": {"n": 1}},
                             {"kind": "mail.sync", "queue": "bulk", "priority": 3, "args": {"n": 2}},
                             {"kind": "mail.send", "run_at": "2999-01-01T00:00:00Z", "args": null},
                             {"kind": "mail.send", "unique_key": "a", "max_attempts": 3}]
                            """.replacing("2999", with: "\(Calendar.current.component(.year, from: Date()) + 2)").utf8))
                ])
            let answers = try rows.map { try $0.decode(Int32.self, Int64?.self, String.self) }
            #expect(answers.map(\.0) == [1, 2, 3, 4])
            // Two of one key that differ otherwise are two calls for it: the second finds the first in line.
            #expect(answers.map(\.2).sorted() == ["new", "new", "new", "waiting"])
            #expect(answers[0].1 == answers[3].1)
            #expect(try await world.fixture.record(answers[1].1).queue == "bulk")
            #expect(try await world.fixture.record(answers[1].1).priority == 3)
            #expect(try await world.fixture.state(answers[2].1 ?? 0) == .scheduled)
            #expect(try await world.ask("select count(*) from evergrant.enqueue_many('[]')", as: Int.self) == 0)
            let error = try await world.refusal(
                #"select evergrant.enqueue_many('[{"kind": "mail.send"}, {"kind": "mail.drop"}]')"#)
            #expect(error?.sqlState == "EG103")
            #expect(try await world.fixture.count("jobs_ready") == 2)
        }
    }

    @Test func `a null is a field's default`() async throws {
        try await withApp { world async throws in
            let jobID = try await world.enqueue("'mail.send', null, null, null, null, null, null, null, null")
            let record = try await world.fixture.record(jobID)
            #expect(record.arguments == Array("{}".utf8) && record.queue == "default" && record.priority == 2)
            #expect(record.maximumAttempts == 25 && record.uniqueKey == nil && record.limitKeys.isEmpty)
        }
    }

    @Test func `unique keys and limit keys of apps meet neither Evergrant's nor another environment's`() async throws {
        try await withApp { world async throws in
            _ = try await world.grants.allow(role: world.login, environmentID: world.live, kinds: ["mail.send"])
            let ours = try await world.fixture.enqueue(
                QueueFixture.job("mail.send", environmentID: world.test, key: "k"))
            let keyed = "'mail.send', unique_key => 'k', limit_key => 'letters', environment => "
            let first = try await world.enqueue(keyed + "'test'")
            let other = try await world.enqueue(keyed + "'live'")
            #expect(Set([ours, first, other]).count == 3)
            #expect(try await world.enqueue(keyed + "'test'") == first)
            #expect(try await world.fixture.record(first).limitKeys == ["app:test:letters"])
            #expect(try await world.fixture.record(other).limitKeys == ["app:live:letters"])
            let seen = try await world.ask(
                "select unique_key || ' ' || limit_key from evergrant.job(\(first ?? 0))", as: String.self)
            #expect(seen == "k letters")
            let space = try await world.fixture.value(
                "select string_agg(distinct space || ' ' || convert_from(key, 'UTF8'), ', ') from evergrant.job_keys",
                as: String.self)
            #expect(
                space == "0 \(world.test)/mail.send/k, 1 \(world.test)/mail.send/k, 1 \(world.live)/mail.send/k")
        }
    }

    @Test(arguments: ["repeatable read", "serializable"])
    func `in stricter isolation a job without key is enqueued, and one with key is made after the commit`(
        level: String
    ) async throws {
        try await withApp { world async throws in
            let (plain, keyed) = try await world.app.transaction { transaction async throws in
                try await transaction.execute(
                    PostgresStatement("app", "set transaction isolation level \(level)"))
                return (
                    try await world.enqueue("'mail.send'", in: transaction),
                    try await world.enqueue("'mail.send', unique_key => 'k'", in: transaction)
                )
            }
            #expect(plain != nil && keyed == nil)
            #expect(try await world.fixture.count("jobs_ready") == 1)
            #expect(try await world.fixture.maintenance.foldWishes() == 1)
            #expect(try await world.fixture.count("jobs_ready") == 2)
            let key = try await world.fixture.value(
                "select space || ' ' || convert_from(ukey, 'UTF8') from evergrant.jobs_ready where space is not null",
                as: String.self)
            #expect(key == "1 \(world.test)/mail.send/k")
        }
    }

    @Test func `an operator's limit holds for the jobs of an app that name its key`() async throws {
        try await withApp { world async throws in
            try await world.fixture.queue.setLimit(JobLimit(key: "app:test:letters", concurrency: 0))
            let done = EventLog<String>()
            let runner = world.fixture.runner([
                ClosureHandler("mail.send") { job, _ in
                    done.record(job.limitKeys.joined())
                    return .complete
                }
            ])
            let held = try #require(try await world.enqueue("'mail.send', limit_key => 'letters'"))
            _ = try await world.enqueue("'mail.send', limit_key => 'cards'")
            try await whileRunning(runner) {
                await done.wait(for: 1)
                try await eventually {
                    try await world.ask("select state from evergrant.job(\(held))", as: String.self) == "parked"
                }
                #expect(done.events == ["app:test:cards"])
                try await world.fixture.queue.setLimit(JobLimit(key: "app:test:letters", concurrency: 1))
                await done.wait(for: 2)
            }
        }
    }

    // MARK: Look, cancel, retry

    @Test func `an app sees, cancels and retries jobs of its kinds and environments, and no others exist for it`()
        async throws
    {
        try await withApp { world async throws in
            let mine = try await world.fixture.enqueue(QueueFixture.job("mail.send", environmentID: world.test))
            let strangers = [
                try await world.fixture.enqueue(QueueFixture.job("mail.drop", environmentID: world.test)),
                try await world.fixture.enqueue(QueueFixture.job("mail.send", environmentID: world.live)), 99_999_999,
            ]
            for jobID in strangers {
                #expect(try await world.ask("select id from evergrant.job(\(jobID))", as: Int64.self) == nil)
                #expect(try await world.ask("select evergrant.cancel(\(jobID))", as: String.self) == "unknown")
                #expect(try await world.ask("select evergrant.retry(\(jobID))", as: String.self) == "unknown")
            }
            #expect(try await world.fixture.count("jobs_ready") == 3)
            #expect(try await world.ask("select id from evergrant.job(\(mine))", as: Int64.self) == mine)
            #expect(try await world.ask("select evergrant.retry(\(mine))", as: String.self) == "not_discarded")
            #expect(try await world.ask("select evergrant.cancel(\(mine))", as: String.self) == "cancelled")
            #expect(try await world.fixture.state(mine) == .cancelled)
            #expect(try await world.ask("select evergrant.cancel(\(mine))", as: String.self) == "unknown")
        }
    }

    @Test func `a running job is asked to stop`() async throws {
        try await withApp { world async throws in
            let started = EventLog<Int64>()
            let runner = world.fixture.runner([
                ClosureHandler("mail.send") { job, _ in
                    started.record(job.jobID)
                    try await Task.sleep(for: .seconds(600))
                    return .complete
                }
            ])
            let jobID = try #require(try await world.enqueue("'mail.send'"))
            try await whileRunning(runner) {
                await started.wait(for: 1)
                #expect(try await world.ask("select evergrant.cancel(\(jobID))", as: String.self) == "asked")
                try await eventually { try await world.fixture.state(jobID) == .cancelled }
            }
        }
    }

    @Test func `a discarded job runs again from attempt 0, unless its key is taken`() async throws {
        try await withApp { world async throws in
            let call = "'mail.send', unique_key => 'k'"
            func discard() async throws -> Int64 {
                let jobID = try #require(try await world.enqueue(call))
                let claim = try await world.fixture.claim(world.fixture.worker())
                #expect(claim.jobs == [jobID])
                try await world.fixture.settle(claim, act: 5)
                #expect(try await world.fixture.state(jobID) == .discarded)
                return jobID
            }
            let first = try await discard()
            let second = try #require(try await world.enqueue(call))
            #expect(second != first)
            #expect(try await world.ask("select evergrant.retry(\(first))", as: String.self) == "key_taken")
            #expect(try await world.ask("select evergrant.cancel(\(second))", as: String.self) == "cancelled")
            #expect(try await world.ask("select evergrant.retry(\(first))", as: String.self) == "retried")
            let record = try await world.fixture.record(first)
            #expect(record.state == .available && record.attempt == 0)
        }
    }

    @Test func `depth is told of the queues of the app's environments only`() async throws {
        try await withApp { world async throws in
            for _ in 0..<3 { _ = try await world.enqueue("'mail.send'") }
            _ = try await world.enqueue("'mail.sync', queue => 'bulk', priority => 3")
            _ = try await world.fixture.enqueue(QueueFixture.job("mail.send", environmentID: world.live))
            func depth(_ arguments: String) async throws -> String? {
                try await world.ask(
                    """
                    select string_agg(name || ' ' || priority || ' ' || jobs || ' ' || is_capped, ', ')
                    from evergrant.queue_depth(\(arguments)) where oldest <= now()
                    """, as: String.self)
            }
            #expect(try await depth("") == "bulk 3 1 false, default 2 3 false")
            #expect(try await depth("queue => 'bulk'") == "bulk 3 1 false")
            #expect(try await depth("'test', 'nothing'") == nil)
            let error = try await world.refusal("select * from evergrant.queue_depth('live')")
            #expect(error?.sqlState == "EG101")
            try await world.fixture.run(
                """
                insert into evergrant.jobs_ready (queue, kind, priority, args)
                select q.id, 1, 2, '{}' from evergrant.queues q, generate_series(1, 10000)
                where q.environment_id = \(world.test) and q.name = 'default'
                """)
            #expect(try await depth("queue => 'default'") == "default 2 10000 true")
        }
    }
}
