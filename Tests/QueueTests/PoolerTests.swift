import Foundation
import Pacing
import Postgres
import TestSupport
import Testing

@testable import Queue

/// The whole queue through PgBouncer in transaction mode, without prepared statements, session settings or LISTEN.
@Suite(.serialized, .enabled(if: Bouncer.program != nil, Bouncer.missing)) struct PoolerTests {
    /// Connections that the pooler has to the database.
    private static let servers = PostgresStatement(
        "count servers",
        """
        select count(*) from pg_stat_activity
        where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()
        """)

    @Test
    func `jobs are performed, retried, settled with their effects and promoted, over fewer connections than clients`()
        async throws
    {
        try await withPooledQueue(serverConnections: 3) { pooled async throws in
            try await pooled.direct.run("create table effects (job bigint)")
            await pooled.direct.close()
            let control = PostgresPool(PostgresConfiguration(url: pooled.direct.database.url), logger: quiet)
            let effect = PostgresStatement("effect", "insert into effects values ($1)")
            let runs = EventLog<String>()
            let pools = (0..<3).map { _ in pooled.bouncer.pool(clients: 4) }
            let handlers: [any JobHandler] = [
                ClosureHandler("plain") { job, _ in
                    runs.record("plain \(job.jobID)")
                    return .complete
                },
                ClosureHandler("effect") { job, settlement in
                    runs.record("effect \(job.jobID)")
                    try await pooled.pool.transaction { transaction async throws in
                        try await transaction.execute(effect, [.int8(job.jobID)])
                        try await settlement.settle(.complete, in: transaction)
                    }
                    return .settled
                },
                ClosureHandler("retried") { job, _ in
                    if job.attempt == 1 { throw RolledBack() }
                    return .complete
                },
                ClosureHandler("snoozed") { job, _ in
                    runs.record("snoozed")
                    return runs.events.filter { $0 == "snoozed" }.count <= 20 ? .snooze(.milliseconds(1)) : .complete
                },
            ]
            let runners = pools.map { pooled.runner(handlers, pool: $0) }
            let kinds = ["plain", "effect", "retried", "snoozed"]
            let most = try await whileRunning(runners[0], runners[1], runners[2]) {
                let jobs = (0..<200).map { number -> NewJob in
                    let runAt: Date? = number % 7 == 0 ? Date(timeIntervalSinceNow: 0.05) : nil
                    let key: String? = number % 5 == 0 ? "\(number)" : nil
                    return QueueFixture.job(
                        kinds[number % 4], environmentID: Int64(number % 3), priority: Int16(number % 4), runAt: runAt,
                        key: key)
                }
                _ = try await pooled.queue.enqueue(jobs)
                var most = 0
                try await eventually(within: .seconds(30)) {
                    try await pooled.maintenance.promote()
                    most = max(most, try await control.execute(Self.servers).value(Int.self) ?? 0)
                    return try await control.execute(
                        PostgresStatement(
                            "count done", "select count(*) from evergrant.jobs_finished where outcome = 0")
                    ).value(Int.self) == 200
                }
                return most
            }
            // Four of ours, the handlers' pool, and each runner's: many more clients than that.
            #expect(most > 0 && most <= 3)
            let effects = try await control.execute(
                PostgresStatement("count effects", "select count(*)::int, count(distinct job)::int from effects"))
            let (all, distinct) = try #require(effects.first).decode(Int32.self, Int32.self)
            #expect(all == 50 && distinct == 50)
            #expect(runs.events.filter { $0.hasPrefix("plain") }.count == 50)
            let left = try await control.execute(
                PostgresStatement(
                    "count rest",
                    """
                    select (select count(*) from evergrant.leases) + (select count(*) from evergrant.lease_marks)
                        + (select count(*) from evergrant.job_keys) + (select count(*) from evergrant.workers)
                    """)
            ).value(Int.self)
            #expect(left == 0)
            for pool in pools { await pool.close() }
            await control.close()
        }
    }

    @Test func `nothing of one client stays in the sessions that others get`() async throws {
        try await withPooledQueue(serverConnections: 2) { pooled async throws in
            let pool = pooled.bouncer.pool()
            let gate = EventLog<Void>()
            let runner = pooled.runner(
                [
                    ClosureHandler { _, _ in
                        gate.record(())
                        return .retry(error: JobFailure(type: "T", message: "m"), after: .seconds(3600))
                    }
                ], pool: pool)
            try await whileRunning(runner) {
                _ = try await pooled.queue.enqueue((0..<20).map { QueueFixture.job(key: "\($0)") })
                await gate.wait(for: 20)
            }
            await pool.close()
            // Every connection of the pooler at once.
            try await withThrowingTaskGroup(of: String.self) { group in
                let inside = EventLog<Void>()
                for _ in 0..<2 {
                    group.addTask {
                        try await pooled.pool.transaction { transaction async throws in
                            let row = try await transaction.execute(
                                PostgresStatement(
                                    "look at session",
                                    """
                                    select current_setting('lock_timeout') || ' ' || current_setting('enable_seqscan')
                                        || ' ' || current_setting('plan_cache_mode') || ' '
                                        || (select count(*) from pg_prepared_statements)
                                    """))
                            inside.record(())
                            await inside.wait(for: 2)
                            return try row.value(String.self) ?? ""
                        }
                    }
                }
                // Only what the role brings.
                for try await session in group { #expect(session == "0 off force_generic_plan 0") }
            }
        }
    }

    @Test func `a key wakes its running job once more and is folded in after a stranger's transaction`() async throws {
        try await withPooledQueue { pooled async throws in
            let pool = pooled.bouncer.pool()
            let log = EventLog<Int64>()
            let gate = EventLog<Void>()
            let runner = pooled.runner(
                [
                    ClosureHandler { job, _ in
                        log.record(job.jobID)
                        if log.events.count == 1 { await gate.wait(for: 1) }
                        return .complete
                    }
                ], pool: pool)
            try await whileRunning(runner) {
                _ = try await pooled.queue.enqueue([QueueFixture.job(key: "k")])
                await log.wait(for: 1)
                let again = try await pooled.queue.enqueue([QueueFixture.job(key: "k")])
                #expect(again[0].outcome == .again)
                gate.record(())
                await log.wait(for: 2)
                try await pooled.pool.transaction { stranger async throws in
                    _ = try await pooled.queue.enqueue([QueueFixture.job(key: "new")], in: stranger)
                    let wish = try await pooled.queue.enqueue([QueueFixture.job(key: "new")])
                    #expect(wish[0].outcome == .wish)
                }
                try await pooled.maintenance.foldWishes()
                await log.wait(for: 3)
                try await eventually { try await pooled.direct.count("job_keys") == 0 }
            }
            await pool.close()
            let unfinished = try await pooled.direct.count("leases")
            #expect(unfinished == 0)
        }
    }

    @Test func `queues are paused, jobs cancelled, found, listed and counted`() async throws {
        try await withPooledQueue { pooled async throws in
            let pool = pooled.bouncer.pool()
            let began = EventLog<Int64>()
            let cancelled = EventLog<Int64>()
            let runner = pooled.runner(
                [
                    ClosureHandler { job, _ in
                        began.record(job.jobID)
                        do {
                            try await Task.sleep(for: .seconds(60))
                        } catch {
                            cancelled.record(job.jobID)
                            throw error
                        }
                        return .complete
                    }
                ], pool: pool)
            let paused = QueueName(environmentID: 2, name: "default")
            try await pooled.queue.setPaused(true, queue: paused)
            let waiting = try await pooled.queue.enqueue([
                QueueFixture.job(environmentID: 2), QueueFixture.job(environmentID: 2),
            ]).compactMap(\.jobID)
            try await whileRunning(runner) {
                let running = try #require(try await pooled.queue.enqueue([QueueFixture.job()])[0].jobID)
                await began.wait(for: 1)
                #expect(try await pooled.queue.find(running)?.state == .running)
                #expect(try await pooled.queue.cancel(running) == .asked)
                await cancelled.wait(for: 1)
                try await eventually { try await pooled.queue.find(running)?.state == .cancelled }
                #expect(try await pooled.queue.cancel(waiting[0]) == .cancelled)
                let listed = try await pooled.queue.list(JobFilter(environmentID: 2)).jobs.map(\.jobID)
                #expect(Set(listed) == Set(waiting))
                let depths = try await pooled.queue.depths()
                #expect(depths.map(\.jobs) == [1])
                #expect(began.events == [running])
                try await pooled.queue.setPaused(false, queue: paused)
                await began.wait(for: 2)
                #expect(try await pooled.queue.cancel(waiting[1]) == .asked)
                await cancelled.wait(for: 2)
            }
            await pool.close()
        }
    }

    @Test func `a killed runner is declared dead by an observer and its jobs run elsewhere`() async throws {
        try await withPooledQueue { pooled async throws in
            let pools = (0..<3).map { _ in pooled.bouncer.pool() }
            let log = EventLog<Int>()
            let handler = ClosureHandler { job, _ in
                log.record(job.crashes)
                if log.events.count == 1 { try await Task.sleep(for: .seconds(60)) }
                return .complete
            }
            let jobID = try #require(try await pooled.queue.enqueue([QueueFixture.job()])[0].jobID)
            let killed = Task { try await pooled.runner([handler], pool: pools[0]).run() }
            await log.wait(for: 1)
            killed.cancel()
            _ = await killed.result
            var configuration = WorkerObserverConfiguration()
            configuration.patience = .seconds(1)
            configuration.interval = .milliseconds(50)
            let observer = WorkerObserver(pool: pools[1], configuration: configuration, logger: quiet)
            let observing = Task { try await observer.run() }
            try await whileRunning(pooled.runner([handler], pool: pools[2])) { await log.wait(for: 2) }
            observing.cancel()
            _ = await observing.result
            #expect(log.events == [0, 1])
            #expect(try await pooled.queue.find(jobID)?.state == .completed)
            for pool in pools { await pool.close() }
        }
    }

    @Test func `a statement that is cancelled is the one that took too long`() async throws {
        try await withPooledQueue(serverConnections: 2) { pooled async throws in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<3 {
                    group.addTask {
                        for _ in 0..<30 { _ = try await pooled.queue.enqueue([QueueFixture.job()]) }
                    }
                }
                for _ in 0..<5 {
                    let error = await #expect(throws: PostgresError.self) {
                        try await pooled.pool.execute(
                            PostgresStatement("too long", "select pg_sleep(20)"), [], timeout: .milliseconds(50))
                    }
                    #expect(error?.code == .timedOut)
                }
                try await group.waitForAll()
            }
            #expect(try await pooled.direct.count("jobs_ready") == 90)
        }
    }

    @Test func `notifications sent through the pooler reach a listener with a direct address`() async throws {
        try await withPooledQueue { pooled async throws in
            let pool = pooled.bouncer.pool { $0.listenURL = pooled.direct.database.url }
            let heard = EventLog<String>()
            let listening = Task {
                for await notification in pool.notifications(on: ["jobs"]) { heard.record("\(notification)") }
            }
            try await eventually {
                try await pool.execute(PostgresStatement("notify", "select pg_notify('jobs', 'now')"))
                return heard.events.contains { $0.contains("now") }
            }
            listening.cancel()
            await pool.close()
        }
    }
}
