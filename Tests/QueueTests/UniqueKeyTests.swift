import Foundation
import Postgres
import TestSupport
import Testing

@testable import Queue

@Suite struct UniqueKeyTests {
    static let tomorrow = Date(timeIntervalSinceNow: 86_400)

    private func key(
        _ fixture: QueueFixture, _ key: String = "k", priority: Int16 = 2, at: Date? = nil,
        in transaction: (any PostgresQuerying)? = nil
    ) async throws -> EnqueuedJob {
        try await fixture.queue.enqueue([QueueFixture.job(priority: priority, runAt: at, key: key)], in: transaction)[0]
    }

    @Test func `a second enqueue of a waiting job is the same job, with the lesser priority`() async throws {
        try await withQueue { fixture async throws in
            let first = try await key(fixture)
            #expect(first.outcome == .new)
            #expect(try await key(fixture) == EnqueuedJob(jobID: first.jobID, outcome: .waiting))
            #expect(try await key(fixture, priority: 0).outcome == .waiting)
            #expect(try await key(fixture, priority: 3).outcome == .waiting)
            let record = try await fixture.record(first.jobID)
            #expect(record.priority == 0 && record.uniqueKey == "1/test/k")
            #expect(try await fixture.count("jobs_ready") == 1)
        }
    }

    @Test func `keys of other environments and kinds are other keys`() async throws {
        try await withQueue { fixture async throws in
            let jobs = [
                QueueFixture.job("a", key: "k"), QueueFixture.job("b", key: "k"),
                QueueFixture.job("a", environmentID: 2, key: "k"),
            ]
            #expect(try await fixture.queue.enqueue(jobs).map(\.outcome) == [.new, .new, .new])
        }
    }

    @Test func `a scheduled job is pulled forward and never pushed back`() async throws {
        try await withQueue { fixture async throws in
            let jobID = try #require(try await key(fixture, at: Self.tomorrow).jobID)
            #expect(try await key(fixture, at: Self.tomorrow.addingTimeInterval(3600)).outcome == .forward)
            let at = try #require(try await fixture.queue.find(jobID)?.at)
            #expect(abs(at.timeIntervalSince(Self.tomorrow)) < 0.001)
            #expect(try await key(fixture) == EnqueuedJob(jobID: jobID, outcome: .forward))
            #expect(try await fixture.state(jobID) == .available)
        }
    }

    @Test func `a waiting job does not run before the transaction that asked for it again commits`() async throws {
        try await withQueue { fixture async throws in
            let jobID = try #require(try await key(fixture).jobID)
            let worker = try await fixture.worker()
            try await fixture.pool.transaction { transaction async throws in
                #expect(try await key(fixture, in: transaction).outcome == .waiting)
                #expect(try await fixture.claim(worker).jobs.isEmpty)
            }
            #expect(try await fixture.claim(worker).jobs == [jobID])
        }
    }

    @Test func `a running job runs once more, as a new job, however often it was asked for`() async throws {
        try await withQueue { fixture async throws in
            let jobID = try #require(try await key(fixture).jobID)
            let claim = try await fixture.claim(fixture.worker())
            for _ in 0..<3 {
                #expect(try await key(fixture, priority: 1) == EnqueuedJob(jobID: jobID, outcome: .again))
            }
            // A lease with keys does not go as a whole: the wish for another run would be lost.
            #expect(try await fixture.claim(claim.worker, settling: [claim.lease]).settled == 0)
            try await fixture.settle(claim)
            let next = try await fixture.claim(fixture.worker())
            #expect(next.jobs.count == 1 && next.jobs != [jobID])
            let record = try await fixture.record(next.jobs[0])
            #expect(record.priority == 1 && record.attempt == 0)
            try await fixture.settle(next)
            #expect(try await fixture.count("job_keys") == 0)
            #expect(try await fixture.claim(fixture.worker()).jobs.isEmpty)
        }
    }

    @Test func `a wish for later makes the next run a scheduled one`() async throws {
        try await withQueue { fixture async throws in
            _ = try await key(fixture)
            let claim = try await fixture.claim(fixture.worker())
            #expect(try await key(fixture, at: Self.tomorrow).outcome == .again)
            try await fixture.settle(claim)
            #expect(try await fixture.count("jobs_scheduled") == 1)
            #expect(try await fixture.count("job_keys") == 1)
        }
    }

    @Test func `a settle waits for an open enqueue of its key and sees what became of it`() async throws {
        for commits in [true, false] {
            try await withQueue { fixture async throws in
                _ = try await key(fixture)
                let claim = try await fixture.claim(fixture.worker())
                try await withThrowingTaskGroup(of: Void.self) { group in
                    do {
                        try await fixture.pool.transaction { transaction async throws in
                            #expect(try await key(fixture, in: transaction).outcome == .again)
                            group.addTask { try await fixture.settle(claim) }
                            try await fixture.someoneWaits()
                            if !commits { throw TimedOut() }
                        }
                    } catch is TimedOut {}
                    try await group.waitForAll()
                }
                #expect(try await fixture.claim(fixture.worker()).jobs.count == (commits ? 1 : 0))
            }
        }
    }

    @Test func `a retry with a wish runs at the earlier of the two times`() async throws {
        try await withQueue { fixture async throws in
            let jobID = try #require(try await key(fixture).jobID)
            let claim = try await fixture.claim(fixture.worker())
            _ = try await key(fixture, priority: 0)
            try await fixture.settle(claim, act: 1, delay: 86_400)
            let record = try await fixture.record(jobID)
            #expect(record.state == .retryable && record.at == nil && record.priority == 0)
        }
    }

    @Test func `an enqueue that meets a stranger's open transaction writes a wish, which is folded in`() async throws {
        for commits in [true, false] {
            try await withQueue { fixture async throws in
                do {
                    try await fixture.pool.transaction { stranger in
                        _ = try await key(fixture, "k3", in: stranger)
                        let jobs = (0..<10).map { QueueFixture.job(key: "k\($0)") }
                        let results = try await fixture.queue.enqueue(jobs)
                        #expect(results[3] == EnqueuedJob(jobID: nil, outcome: .wish))
                        #expect(results.filter { $0.outcome == .new }.count == 9)
                        #expect(try await fixture.maintenance.foldWishes() == 1)
                        #expect(try await fixture.count("job_wishes") == 1)
                        if !commits { throw TimedOut() }
                    }
                } catch is TimedOut {}
                try await fixture.maintenance.foldWishes()
                #expect(try await fixture.count("job_wishes") == 0)
                #expect(try await fixture.count("jobs_ready") == 10)
            }
        }
    }

    @Test func `a rescued job keeps its key and the wish for another run`() async throws {
        try await withQueue { fixture async throws in
            let jobID = try #require(try await key(fixture).jobID)
            var claim = try await fixture.claim(fixture.worker())
            _ = try await key(fixture)
            try await fixture.declareDead(claim.worker)
            try await fixture.maintenance.rescue()
            claim = try await fixture.claim(fixture.worker())
            #expect(claim.jobs == [jobID])
            try await fixture.settle(claim)
            #expect(try await fixture.claim(fixture.worker()).jobs.count == 1)
        }
    }

    @Test func `a discarded job frees its key, and is not run again while another has it`() async throws {
        try await withQueue { fixture async throws in
            let jobID = try #require(try await key(fixture).jobID)
            let claim = try await fixture.claim(fixture.worker())
            try await fixture.settle(claim, act: 5)
            let other = try await key(fixture)
            #expect(other.outcome == .new)
            #expect(try await fixture.queue.retry([jobID]) == 0)
            #expect(try await fixture.queue.cancel(other.jobID ?? 0) == .cancelled)
            #expect(try await fixture.queue.retry(kind: "test") == 1)
            #expect(try await key(fixture) == EnqueuedJob(jobID: jobID, outcome: .waiting))
        }
    }

    @Test func `no fact committed with an enqueue of its key goes unseen`() async throws {
        try await withQueue { fixture async throws in
            try await fixture.run("create table facts (k int, v bigserial); create table seen (k int, v bigint)")
            let writers = 3
            let facts = 60
            let fact = PostgresStatement("fact", "insert into facts (k) values ($1)")
            let seen = PostgresStatement(
                "seen", "insert into seen select $1::int, coalesce(max(v), 0) from facts where k = $1::int")
            let runner = fixture.runner([
                ClosureHandler { job, settlement in
                    let number = try #require(Int32(String(decoding: job.arguments, as: UTF8.self)))
                    // Reads the facts before the settle, as a real job reads before its call.
                    try await fixture.pool.execute(seen, [.int4(number)])
                    if job.jobID % 3 == 0 { return .retry(error: JobFailure(type: "T", message: "m"), after: .zero) }
                    try await fixture.pool.transaction { try await settlement.settle(.complete, in: $0) }
                    return .settled
                }
            ])
            try await whileRunning(runner) {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<writers {
                        group.addTask {
                            for _ in 0..<facts {
                                let number = Int32.random(in: 0..<4)
                                try await fixture.pool.transaction { transaction async throws in
                                    try await transaction.execute(fact, [.int4(number)])
                                    try await fixture.queue.enqueue(
                                        [QueueFixture.job("test", "\(number)", key: "\(number)")], in: transaction)
                                }
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                try await eventually {
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
            #expect(try await fixture.count("leases") == 0)
        }
    }
}
