import Foundation
import Postgres
import TestSupport
import Testing

@testable import Queue

@Suite struct ScheduleRunnerTests {
    private struct Stopped: Error {}

    /// Every tick has one job that is there, every job one tick.
    private func expectOneJobATick(_ fixture: QueueFixture, _ count: Int) async throws {
        let facts = try await fixture.value(
            """
            select array[count(*), count(distinct (t.schedule_id, t.tick)), count(distinct t.job_id), count(r.id),
                (select count(*) from evergrant.jobs_ready)]
            from evergrant.schedule_ticks t left join evergrant.jobs_ready r on r.id = t.job_id
            """, as: [Int64].self)
        #expect(
            facts == Array(repeating: Int64(count), count: 5), "ticks, distinct ones, jobs, found, in line: \(facts)")
    }

    @Test func `a tick that is due enqueues the schedule's job, and the next is on the clock`() async throws {
        try await withSchedules { fixture async throws in
            var job = QueueFixture.job("mail", #"{"a": 1}"#, environmentID: 1, priority: 3, attempts: 7)
            job.limitKeys = ["smtp"]
            job.queue = "bulk"
            try await fixture.queue.setSchedule(QueueFixture.schedule("report", .cron("*/5 * * * *"), job: job))
            let runner = ScheduleRunner(queue: fixture.queue)
            #expect(try await runner.run() == 0)
            try await fixture.setBack(seconds: 2)
            let due = try await fixture.kept().nextAt
            // Another process, which has seen no names yet.
            let other = ScheduleRunner(queue: JobQueue(pool: fixture.pool, logger: quiet))
            #expect(try await other.run() == 1)
            #expect(try await runner.run() == 0)
            let kept = try await fixture.kept()
            #expect(kept.lastAt == due)
            let next = try #require(kept.nextAt)
            #expect(next > kept.now && Int(next.timeIntervalSince1970) % 300 == 0)
            let found = try await fixture.record(kept.lastJobID)
            #expect(found.kind == "mail" && found.queue == "bulk" && found.priority == 3 && found.maximumAttempts == 7)
            #expect(found.limitKeys == ["smtp"] && String(decoding: found.arguments, as: UTF8.self) == #"{"a": 1}"#)
            #expect(
                try await fixture.queue.runs(of: kept) == [
                    ScheduleRun(
                        tick: try #require(due), jobID: kept.lastJobID, isManual: false)
                ])
        }
    }

    @Test(.timeLimit(.minutes(5)))
    func `three schedulers enqueue each of 200 ticks once, though transactions of theirs are killed`() async throws {
        try await withSchedules { fixture async throws in
            // Set back so that all are due; the policy runs each, a hundred at most for one look.
            for name in ["a", "b"] {
                try await fixture.queue.setSchedule(
                    QueueFixture.schedule(name, .every(.milliseconds(25)), missed: .all), shortest: .milliseconds(1))
            }
            let queues = (0..<3).map { _ in JobQueue(pool: fixture.database.pool(), logger: quiet) }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for queue in queues {
                    group.addTask {
                        let runner = ScheduleRunner(queue: queue)
                        while !Task.isCancelled {
                            // What is killed is done by the next look, whoever's.
                            _ = try? await runner.run()
                            try? await Task.sleep(for: .milliseconds(7))
                        }
                    }
                }
                group.addTask {
                    while !Task.isCancelled {
                        try? await fixture.run(
                            """
                            select pg_terminate_backend(pid) from pg_stat_activity
                            where datname = current_database() and pid <> pg_backend_pid()
                              and xact_start is not null and random() < 0.3
                            """)
                        try? await Task.sleep(for: .milliseconds(30))
                    }
                }
                try await eventually(within: .seconds(240)) {
                    // The killer may meet this one as well.
                    (try? await fixture.count("schedule_ticks")) ?? 0 >= 400
                }
                group.cancelAll()
                try await group.waitForAll()
            }
            let ticks = try await fixture.count("schedule_ticks")
            try await expectOneJobATick(fixture, ticks)
            // None is left out: they lie 25 ms apart, from the first to the last.
            let gaps = try await fixture.value(
                """
                select count(*) from (
                    select tick - lag(tick) over (partition by schedule_id order by tick) as gap
                    from evergrant.schedule_ticks) g
                where gap <> interval '25 ms'
                """, as: Int.self)
            #expect(gaps == 0)
        }
    }

    @Test func `a scheduler that dies before its commit leaves nothing, and holds nobody up meanwhile`() async throws {
        try await withSchedules { fixture async throws in
            try await fixture.queue.setSchedule(QueueFixture.schedule("report", .every(.seconds(3600))))
            try await fixture.queue.setSchedule(QueueFixture.schedule("other", .every(.seconds(3600))))
            try await fixture.setBack(seconds: 3)
            let before = try await fixture.kept()
            let runner = ScheduleRunner(queue: fixture.queue)
            let dying = fixture.database.pool()
            await #expect(throws: (any Error).self) {
                try await dying.transaction { transaction in
                    #expect(try await runner.advance([before.id], in: transaction) == 1)
                    let pid =
                        try await transaction.execute(PostgresStatement("pid", "select pg_backend_pid()"))
                        .value(Int32.self) ?? 0
                    // Its row is passed over, another's is not.
                    try await fixture.setBack("other", seconds: 3)
                    #expect(try await runner.run() == 1)
                    #expect(try await fixture.kept("other").lastJobID != nil)
                    #expect(try await fixture.kept().lastJobID == nil)
                    try await fixture.run("select pg_terminate_backend(\(pid))")
                    try await transaction.execute(PostgresStatement("last", "select 1"))
                }
            }
            #expect(try await fixture.kept().nextAt == before.nextAt)
            try await eventually { try await runner.run() == 1 }
            try await expectOneJobATick(fixture, 2)
        }
    }

    @Test func `what a failover takes back with its commit is done again, once`() async throws {
        try await withSchedules { fixture async throws in
            try await fixture.queue.setSchedule(QueueFixture.schedule())
            try await fixture.setBack(seconds: 3)
            let before = try await fixture.kept()
            let runner = ScheduleRunner(queue: fixture.queue)
            await #expect(throws: Stopped.self) {
                try await fixture.pool.transaction { transaction in
                    _ = try await runner.advance([before.id], in: transaction)
                    throw Stopped()
                }
            }
            #expect(try await fixture.jobs() == 0)
            #expect(try await runner.run() == 1)
            #expect(try await fixture.kept().lastAt == before.nextAt)
            try await expectOneJobATick(fixture, 1)
        }
    }

    @Test func `ticks that ran do not run again when the clock is set back, with their records or without`()
        async throws
    {
        try await withSchedules { fixture async throws in
            try await fixture.queue.setSchedule(
                QueueFixture.schedule("report", .every(.seconds(1)), missed: .all))
            try await fixture.run(
                "update evergrant.schedules set anchor_at = date_trunc('second', now()) - interval '1 h'")
            try await fixture.run(
                "update evergrant.schedules set next_at = date_trunc('second', now()) - interval '9 s'")
            let runner = ScheduleRunner(queue: fixture.queue)
            _ = try await runner.run()
            let jobs = try await fixture.jobs()
            #expect(jobs >= 10)
            let last = try await fixture.kept().lastAt
            for sql in ["select 1", "delete from evergrant.schedule_ticks"] {
                try await fixture.run(sql)
                try await fixture.run("update evergrant.schedules set next_at = next_at - interval '8 s'")
                _ = try await runner.run()
                // Whatever was enqueued beyond is later.
                let later = try await fixture.kept().lastAt
                let beyond = Int(((later ?? .distantPast).timeIntervalSince(last ?? .distantFuture)).rounded())
                #expect(try await fixture.jobs() == jobs + beyond)
            }
        }
    }

    @Test func `a tick that someone recorded has its job already, even when progress was lost`() async throws {
        try await withSchedules { fixture async throws in
            let set = try await fixture.queue.setSchedule(QueueFixture.schedule())
            try await fixture.setBack(seconds: 3)
            try await fixture.run(
                "insert into evergrant.schedule_ticks (schedule_id, tick, job_id) select id, next_at, 77 from evergrant.schedules"
            )
            #expect(try await ScheduleRunner(queue: fixture.queue).run() == 1)
            #expect(try await fixture.jobs() == 0)
            let kept = try await fixture.kept()
            #expect(kept.nextAt == set.nextAt && kept.lastJobID == nil)
        }
    }

    @Test func `downtime is made up for by the schedule's policy`() async throws {
        try await withSchedules { fixture async throws in
            for missed in MissedPolicy.allCases {
                try await fixture.queue.setSchedule(
                    QueueFixture.schedule(missed.rawValue, .every(.seconds(600)), missed: missed))
            }
            // 595 s after the last tick, so that none is within the grace.
            try await fixture.run(
                """
                update evergrant.schedules set anchor_at = now() - interval '3595 s', next_at = now() - interval '2995 s'
                """)
            let runner = ScheduleRunner(queue: fixture.queue)
            #expect(try await runner.run() == 3)
            var runs: [String: Int] = [:]
            for record in try await fixture.queue.schedules(environmentID: 1) {
                runs[record.schedule.name] = try await fixture.queue.runs(of: record).count
                let next = try #require(record.nextAt)
                #expect(next > record.now && next < record.now.addingTimeInterval(10))
            }
            #expect(runs == ["once": 1, "all": 5, "skip": 0])
            #expect(try await runner.run() == 0)
        }
    }

    @Test func `without overlap a tick is passed over until the job before has ended`() async throws {
        try await withSchedules { fixture async throws in
            try await fixture.queue.setSchedule(
                QueueFixture.schedule("report", .every(.seconds(3600)), missed: .all, overlap: .skip))
            let runner = ScheduleRunner(queue: fixture.queue)
            func tick() async throws -> Int64? {
                try await fixture.run("update evergrant.schedules set last_at = null")
                try await fixture.setBack(seconds: Double.random(in: 1...20))
                let before = try await fixture.kept().lastJobID
                #expect(try await runner.run() == 1)
                let after = try await fixture.kept().lastJobID
                return after == before ? nil : after
            }
            let first = try #require(try await tick())
            #expect(try await tick() == nil)
            let claim = try await fixture.claim(fixture.worker())
            #expect(claim.jobs == [first])
            #expect(try await tick() == nil)
            try await fixture.settle(claim, act: 1, delay: 3600)
            #expect(try await fixture.state(first) == .retryable)
            #expect(try await tick() == nil)
            #expect(try await fixture.queue.cancel(first) == .cancelled)
            let second = try #require(try await tick())
            // A discarded job has ended as well, and one whose history is gone.
            try await fixture.settle(try await fixture.claim(fixture.worker()), act: 5)
            #expect(try await fixture.state(second) == .discarded)
            let third = try #require(try await tick())
            try await fixture.settle(try await fixture.claim(fixture.worker()))
            try await fixture.run("delete from evergrant.jobs_finished where job_id = \(third)")
            #expect(try await tick() != nil)
            // Of several missed ticks one runs.
            try await fixture.run("truncate evergrant.jobs_ready, evergrant.schedule_ticks")
            try await fixture.run(
                "update evergrant.schedules set anchor_at = now() - interval '5 h', next_at = now() - interval '4 h', last_at = null"
            )
            #expect(try await runner.run() == 1)
            try await expectOneJobATick(fixture, 1)
        }
    }

    @Test func `a schedule that cannot run is held with its fault, and the others go on`() async throws {
        try await withSchedules { fixture async throws in
            for name in ["attempts", "cron", "good", "zone"] {
                try await fixture.queue.setSchedule(QueueFixture.schedule(name))
                try await fixture.setBack(name, seconds: 3)
            }
            try await fixture.run(
                """
                update evergrant.schedules set cron = '0 3 * * L' where name = 'cron';
                update evergrant.schedules set time_zone = 'Mars/Base' where name = 'zone';
                update evergrant.schedules set priority = 32767 where name = 'attempts';
                """)
            let runner = ScheduleRunner(queue: fixture.queue)
            #expect(try await runner.run() == 4)
            #expect(try await fixture.jobs() == 1)
            #expect(try await fixture.kept("good").state == .active)
            for (name, words) in [("cron", "\"L\""), ("zone", "Mars/Base"), ("attempts", "priority")] {
                let kept = try await fixture.kept(name)
                #expect(kept.state == .faulty && kept.fault?.contains(words) == true, "\(kept.fault ?? "")")
            }
            #expect(try await runner.run() == 0)
            // Mended, its tick of then is still its tick.
            try await fixture.run("update evergrant.schedules set cron = '0 3 * * *' where name = 'cron'")
            try await fixture.run("update evergrant.schedules set held_until = now()")
            let due = try await fixture.kept("cron").nextAt
            #expect(try await runner.run() == 3)
            let mended = try await fixture.kept("cron")
            #expect(mended.state == .active && mended.fault == nil && mended.lastAt == due)
            // Setting it mends as well.
            #expect(try await fixture.queue.setSchedule(QueueFixture.schedule("zone")).state == .active)
        }
    }

    @Test func `a schedule that the database refuses to enqueue does not stop those it is looked at with`() async throws
    {
        try await withSchedules { fixture async throws in
            for name in ["bad", "good"] {
                try await fixture.queue.setSchedule(
                    QueueFixture.schedule(name, job: QueueFixture.job("test", #"{"name": "\#(name)"}"#)))
                try await fixture.setBack(name, seconds: 3)
            }
            try await fixture.run(
                "alter table evergrant.jobs_ready add constraint refuses check (args ->> 'name' is distinct from 'bad')"
            )
            let outcome: Result<Int, any Error>
            do { outcome = .success(try await ScheduleRunner(queue: fixture.queue).run()) } catch {
                outcome = .failure(error)
            }
            let (bad, good) = (try await fixture.kept("bad"), try await fixture.kept("good"))
            try await fixture.run("alter table evergrant.jobs_ready drop constraint refuses")
            #expect(try outcome.get() == 2)
            #expect(bad.state == .faulty && bad.fault?.contains("refuses") == true, "\(bad.fault ?? "")")
            #expect(good.state == .active && good.lastJobID != nil)
        }
    }

    @Test func `a schedule ends with its last tick`() async throws {
        try await withSchedules { fixture async throws in
            try await fixture.queue.setSchedule(QueueFixture.schedule("report", .every(.seconds(10))))
            try await fixture.setBack(seconds: 2)
            try await fixture.run("update evergrant.schedules set ends_at = next_at + interval '9 s'")
            let runner = ScheduleRunner(queue: fixture.queue)
            #expect(try await runner.run() == 1)
            let kept = try await fixture.kept()
            #expect(kept.state == .ended && kept.nextAt == nil && kept.lastJobID != nil)
            #expect(try await runner.run() == 0)
        }
    }

    @Test func `records of ticks are pruned by age, in batches, and a removed schedule takes its own along`()
        async throws
    {
        try await withSchedules { fixture async throws in
            let set = try await fixture.queue.setSchedule(QueueFixture.schedule())
            try await fixture.run(
                """
                insert into evergrant.schedule_ticks (schedule_id, tick, enqueued_at)
                select \(set.id), now() - g * interval '1 h', now() - g * interval '1 h' from generate_series(1, 100) g
                """)
            let runner = ScheduleRunner(queue: fixture.queue)
            #expect(try await runner.prune(limit: 50) == 50)
            #expect(try await runner.prune(limit: 50) == 3)
            #expect(try await fixture.count("schedule_ticks") == 47)
            #expect(try await fixture.queue.removeSchedule("report", environmentID: 1))
            #expect(try await fixture.count("schedule_ticks") == 0)
        }
    }

    @Test func `the look for what is due reads by index`() async throws {
        try await withSchedules { fixture async throws in
            try await fixture.queue.setSchedule(QueueFixture.schedule())
            let explained: [(PostgresStatement, String, String)] = [
                (Statements.dueSchedules, "int", "10"), (Statements.lockDueSchedules, "bigint[]", "'{1}'"),
                (Statements.pruneTicks, "float8, int", "1, 10"),
            ]
            for (statement, types, arguments) in explained {
                let plan = try await fixture.pool.withConnection { connection in
                    try await connection.executeScript(
                        PostgresStatement("prepare", "prepare explained(\(types)) as \(statement.sql)"))
                    let rows = try await connection.execute(
                        PostgresStatement("explain", "explain execute explained(\(arguments))"))
                    try await connection.executeScript(PostgresStatement("deallocate", "deallocate explained"))
                    return try rows.map { try $0.decode(String.self) }.joined(separator: "\n")
                }
                #expect(plan.contains("Index") && !plan.contains("Seq Scan on schedule"), "\(plan)")
            }
        }
    }
}
