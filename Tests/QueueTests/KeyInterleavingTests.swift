import Foundation
import Postgres
import TestSupport
import Testing

@testable import Queue

/// Enqueues of a key against running and waiting jobs of it; the two variants that lose a run.
@Suite struct KeyInterleavingTests {
    private func key(
        _ fixture: QueueFixture, _ key: String = "k", in transaction: (any PostgresQuerying)? = nil
    ) async throws -> EnqueuedJob.Outcome {
        try await fixture.queue.enqueue([QueueFixture.job(key: key)], in: transaction)[0].outcome
    }

    /// A job of the key, claimed.
    private func claimed(_ fixture: QueueFixture) async throws -> HandClaim {
        #expect(try await key(fixture) == .new)
        let claim = try await fixture.claim(fixture.worker())
        #expect(claim.jobs.count == 1)
        return claim
    }

    @Test func `an enqueue that finds its key waiting is followed by a run, whenever that is claimed`() async throws {
        try await withQueue { fixture async throws in
            let worker = try await fixture.worker()
            _ = try await key(fixture)
            try await fixture.pool.transaction { enqueuer async throws in
                #expect(try await key(fixture, in: enqueuer) == .waiting)
                let early = try await fixture.claim(worker)
                #expect(early.jobs.isEmpty)
            }
            #expect(try await fixture.runsAgain(worker))
        }
    }

    @Test func `ON CONFLICT DO NOTHING loses the run of an enqueue that found its key waiting`() async throws {
        try await withQueue { fixture async throws in
            let worker = try await fixture.worker()
            _ = try await key(fixture)
            try await fixture.pool.transaction { enqueuer async throws in
                try await enqueuer.execute(
                    PostgresStatement(
                        "do nothing",
                        """
                        insert into evergrant.job_keys (space, key, queue, priority)
                        select space, key, queue, priority from evergrant.job_keys on conflict do nothing
                        """))
                // "It is there already": it runs before our data is committed, and never after.
                let claim = try await fixture.claim(worker)
                #expect(claim.jobs.count == 1)
                try await fixture.settle(claim)
            }
            #expect(try await !fixture.runsAgain(worker))
        }
    }

    /// A settle that decides and writes with one snapshot: it waits for the enqueuer's key, and then neither frees it (it
    /// is wanted again) nor enqueues (its snapshot did not see that).
    private static let oneSnapshot = """
        create function faulty_settle(lease bigint) returns bigint language sql as $$
            with l as (delete from evergrant.leases where id = lease returning jobs),
            s as (select j from l, unnest(l.jobs) j),
            freed as (
                delete from evergrant.job_keys k using s
                where k.space = (s.j).space and k.key = (s.j).ukey and k.again_at is null),
            again as (
                update evergrant.job_keys k set again_at = null from s
                where k.space = (s.j).space and k.key = (s.j).ukey and k.again_at is not null
                returning k.space, k.key, k.queue, k.priority),
            run as (
                insert into evergrant.jobs_ready (queue, kind, priority, space, ukey, args)
                select queue, 1, priority, space, key, '{}' from again returning 1)
            select count(*) from run
        $$
        """

    @Test func `a settle that meets an open enqueue of its key runs the job once more; with one snapshot it does not`()
        async throws
    {
        for isFaulty in [false, true] {
            try await withOwnQueue { fixture async throws in
                try await fixture.run(Self.oneSnapshot)
                let claim = try await claimed(fixture)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    try await fixture.pool.transaction { enqueuer async throws in
                        #expect(try await key(fixture, in: enqueuer) == .again)
                        group.addTask {
                            guard isFaulty else { return try await fixture.settle(claim) }
                            try await fixture.pool.execute(
                                PostgresStatement("settle with one snapshot", "select faulty_settle($1)"),
                                [.int8(claim.lease)])
                        }
                        try await fixture.someoneWaits()
                    }
                    try await group.waitForAll()
                }
                let worker = try await fixture.worker()
                #expect(try await fixture.runsAgain(worker) == !isFaulty)
                // The faulty one leaves its key behind: no enqueue of it would ever be `new` again.
                #expect(try await fixture.count("job_keys") == 1)
            }
        }
    }

    @Test func `an enqueue that meets an open settle of its key writes a wish, and its run follows`() async throws {
        try await withQueue { fixture async throws in
            let claim = try await claimed(fixture)
            try await fixture.pool.transaction { worker async throws in
                try await fixture.settle(claim, in: worker)
                #expect(try await key(fixture) == .wish)
            }
            #expect(try await fixture.runsAgain(claim.worker))
        }
    }

    @Test func `an enqueue during which the settle of its key commits is followed by a run, whatever it was told`()
        async throws
    {
        for _ in 0..<10 {
            try await withQueue { fixture async throws in
                let claim = try await claimed(fixture)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    try await fixture.pool.transaction { worker async throws in
                        try await fixture.settle(claim, in: worker)
                        group.addTask { _ = try await key(fixture) }
                        // Waits for 50 ms at most, so this may see it or come too late.
                        try? await eventually(within: .milliseconds(40)) {
                            try await fixture.value(
                                "select count(*) from pg_stat_activity where wait_event_type = 'Lock'", as: Int.self)
                                > 0
                        }
                    }
                    try await group.waitForAll()
                }
                #expect(try await fixture.runsAgain(claim.worker))
            }
        }
    }

    @Test func `an enqueue beside an open claim of its key's job asks for one more run`() async throws {
        try await withQueue { fixture async throws in
            _ = try await key(fixture)
            let worker = try await fixture.worker()
            let claim = try await fixture.pool.transaction { claiming async throws in
                let claim = try await fixture.claim(worker, in: claiming)
                #expect(claim.jobs.count == 1)
                #expect(try await key(fixture) == .again)
                return claim
            }
            try await fixture.settle(claim)
            #expect(try await fixture.runsAgain(worker))
        }
    }

    @Test func `an enqueue beside a claim that rolls back costs an extra run and loses none`() async throws {
        try await withQueue { fixture async throws in
            _ = try await key(fixture)
            let worker = try await fixture.worker()
            await #expect(throws: RolledBack.self) {
                try await fixture.pool.transaction { claiming async throws in
                    _ = try await fixture.claim(worker, in: claiming)
                    #expect(try await key(fixture) == .again)
                    throw RolledBack()
                }
            }
            let claim = try await fixture.claim(worker)
            #expect(claim.jobs.count == 1)
            try await fixture.settle(claim)
            let again = try await fixture.claim(worker)
            try await fixture.settle(again)
            #expect(try await fixture.count("job_keys") == 0)
        }
    }

    /// As an insert does where the table grows, or is truncated by vacuum.
    @Test func `an enqueue that must write a wish waits for the table, however short its waits for keys are`()
        async throws
    {
        try await withQueue { fixture async throws in
            try await fixture.pool.transaction { stranger async throws in
                _ = try await key(fixture, in: stranger)
                try await withThrowingTaskGroup(of: EnqueuedJob.Outcome.self) { group in
                    try await fixture.pool.transaction { vacuuming async throws in
                        try await vacuuming.execute(
                            PostgresStatement("hold table", "lock table evergrant.job_wishes in share mode"))
                        group.addTask { try await key(fixture) }
                        try await eventually {
                            try await fixture.value(
                                """
                                select exists (select from pg_locks where not granted
                                    and relation = 'evergrant.job_wishes'::regclass)
                                """, as: Bool.self)
                        }
                        // Longer than it waits for a key.
                        try await Task.sleep(for: .milliseconds(100))
                    }
                    #expect(try await group.next() == .wish)
                }
            }
        }
    }

    @Test func `enqueues of two keys in opposite orders do not deadlock, and each key has one job`() async throws {
        try await withQueue { fixture async throws in
            try await withThrowingTaskGroup(of: Void.self) { group in
                let first = EventLog<Void>()
                for keys in [["a", "b"], ["b", "a"]] {
                    group.addTask {
                        try await fixture.pool.transaction { enqueuer async throws in
                            #expect(try await key(fixture, keys[0], in: enqueuer) == .new)
                            first.record(())
                            await first.wait(for: 2)
                            _ = try await key(fixture, keys[1], in: enqueuer)
                        }
                    }
                }
                try await group.waitForAll()
            }
            try await fixture.maintenance.foldWishes()
            #expect(try await fixture.count("jobs_ready") == 2)
            #expect(try await fixture.count("job_wishes") == 0)
        }
    }

    @Test func `in repeatable read an enqueue of a taken key is a wish`() async throws {
        try await withQueue { fixture async throws in
            let jobID = try await fixture.enqueue(QueueFixture.job(key: "k"))
            try await fixture.pool.transaction { enqueuer async throws in
                try await enqueuer.execute(
                    PostgresStatement("isolate", "set transaction isolation level repeatable read"))
                #expect(try await key(fixture, in: enqueuer) == .wish)
            }
            try await fixture.maintenance.foldWishes()
            #expect(try await fixture.count("jobs_ready") == 1)
            #expect(try await fixture.state(jobID) == .available)
        }
    }

    @Test func `no fact goes unseen and no key stays behind while living workers are declared dead at random`()
        async throws
    {
        try await withQueue { fixture async throws in
            try await fixture.run("create table facts (k int, v bigserial); create table seen (k int, v bigint)")
            let fact = PostgresStatement("fact", "insert into facts (k) values ($1)")
            let look = PostgresStatement("look", "select coalesce(max(v), 0) from facts where k = $1::int")
            let seen = PostgresStatement("seen", "insert into seen values ($1, $2)")
            let handler = ClosureHandler { job, settlement in
                let number = try #require(Int32(String(decoding: job.arguments, as: UTF8.self)))
                let last = try await fixture.pool.execute(look, [.int4(number)]).value(Int64.self) ?? 0
                switch Int.random(in: 0..<6) {
                case 0: return .retry(error: JobFailure(type: "T", message: "m"), after: .milliseconds(2))
                case 1: return .snooze(.milliseconds(2))
                case 2: return .giveBack
                default:
                    try await fixture.pool.transaction { effect async throws in
                        try await effect.execute(seen, [.int4(number), .int8(last)])
                        try await settlement.settle(.complete, in: effect)
                    }
                    return .settled
                }
            }
            let runners = (0..<2).map { _ in fixture.runner([handler]) { $0.beatInterval = .milliseconds(20) } }
            let end = ContinuousClock.now + .seconds(3)
            try await whileRunning(runners[0], runners[1]) {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 0..<3 as Range<UInt64> {
                        group.addTask {
                            var generator = SeededGenerator(number)
                            while ContinuousClock.now < end {
                                do {
                                    try await fixture.pool.transaction { writer async throws in
                                        for key in Set((0..<3).map { _ in Int32.random(in: 0..<8, using: &generator) })
                                        {
                                            try await writer.execute(fact, [.int4(key)])
                                            try await fixture.queue.enqueue(
                                                [QueueFixture.job("test", "\(key)", key: "\(key)", attempts: 1000)],
                                                in: writer)
                                        }
                                        if Int.random(in: 0..<6, using: &generator) == 0 { throw RolledBack() }
                                    }
                                } catch is RolledBack {}
                            }
                        }
                    }
                    group.addTask {
                        while ContinuousClock.now < end {
                            try await fixture.maintenance.promote()
                            try await fixture.maintenance.foldWishes()
                            try await fixture.run(
                                "update evergrant.workers set dead = true where random() < 0.02 and not dead")
                            try await fixture.maintenance.rescue()
                            try await Task.sleep(for: .milliseconds(10))
                        }
                    }
                    try await group.waitForAll()
                }
                try await eventually(within: .seconds(30)) {
                    try await fixture.maintenance.rescue()
                    try await fixture.maintenance.foldWishes()
                    try await fixture.maintenance.promote()
                    return try await fixture.count("job_keys") + fixture.count("job_wishes") == 0
                }
            }
            let unseen = """
                select count(*) from (select k, max(v) v from facts group by k) f
                where v > coalesce((select max(v) from seen s where s.k = f.k), 0)
                """
            #expect(try await fixture.value(unseen, as: Int.self) == 0)
            #expect(try await fixture.value("select count(*) from facts", as: Int.self) > 50)
            #expect(try await fixture.count("jobs_ready") == 0)
        }
    }
}
