import Foundation
import Postgres
import TestSupport
import Testing

@testable import Queue

@Suite struct OperateTests {
    @Test func `lists show every state, page by page, and filters hold`() async throws {
        try await withQueue { fixture async throws in
            let tomorrow = Date(timeIntervalSinceNow: 86_400)
            // Ten of each: running, completed, discarded, cancelled, then waiting and scheduled ones.
            _ = try await fixture.queue.enqueue((0..<40).map { QueueFixture.job("k\($0 % 2)") })
            let claim = try await fixture.claim(fixture.worker())
            try await fixture.settle(claim, Array(claim.jobs[10..<20]), act: 0, last: false)
            try await fixture.settle(claim, Array(claim.jobs[20..<30]), act: 5, last: false)
            try await fixture.settle(claim, Array(claim.jobs[30..<40]), act: 6, last: false)
            _ = try await fixture.queue.enqueue(
                (0..<10).map {
                    QueueFixture.job("k\($0 % 2)", environmentID: 1 + Int64($0 % 2), priority: Int16($0 % 3))
                })
            _ = try await fixture.queue.enqueue((0..<10).map { QueueFixture.job("k\($0 % 2)", runAt: tomorrow) })

            func all(_ filter: JobFilter) async throws -> [JobRecord] {
                var filter = filter
                var jobs: [JobRecord] = []
                repeat {
                    let page = try await fixture.queue.list(filter)
                    #expect(page.jobs.count <= filter.limit)
                    jobs += page.jobs
                    filter.cursor = page.cursor
                } while filter.cursor != nil
                return jobs
            }
            for limit in [1, 3, 7, 10, 200] {
                let jobs = try await all(JobFilter(limit: limit))
                #expect(jobs.count == 50, "limit \(limit)")
                #expect(Set(jobs.map(\.jobID)).count == 50)
            }
            for state in [JobState.running, .completed, .discarded, .cancelled, .scheduled, .available] {
                let jobs = try await all(JobFilter(state: state, limit: 4))
                #expect(jobs.count == 10 && jobs.allSatisfy { $0.state == state }, "\(state)")
            }
            #expect(try await all(JobFilter(state: .retryable)).isEmpty)
            #expect(try await all(JobFilter(kind: "k1", limit: 6)).count == 25)
            #expect(try await all(JobFilter(environmentID: 2)).count == 5)
            #expect(try await all(JobFilter(environmentID: 99)).isEmpty)
            for filter in [
                JobFilter(limit: 0), JobFilter(limit: 201), JobFilter(cursor: "x"), JobFilter(cursor: "9.1.1"),
            ] {
                await #expect(throws: QueueError.self) { try await fixture.queue.list(filter) }
            }
        }
    }

    @Test func `a waiting job is cancelled from every state it can wait in`() async throws {
        try await withQueue { fixture async throws in
            let waiting = try await fixture.enqueue(QueueFixture.job(key: "a"))
            let scheduled = try await fixture.enqueue(QueueFixture.job(runAt: Date(timeIntervalSinceNow: 99), key: "b"))
            let claimed = try await fixture.enqueue(QueueFixture.job(priority: 0))
            var claim = try await fixture.claim(fixture.worker(), limit: 1)
            claim.jobs = [claimed]
            try await fixture.settle(claim, act: 1, last: false)
            #expect(try await fixture.state(claimed) == .retryable)
            for jobID in [waiting, scheduled, claimed] {
                if try await fixture.state(jobID) == .running { continue }
                #expect(try await fixture.queue.cancel(jobID) == .cancelled)
                #expect(try await fixture.state(jobID) == .cancelled)
                #expect(try await fixture.queue.cancel(jobID) == .unknown)
            }
            #expect(try await fixture.queue.cancel(123_456) == .unknown)
        }
    }

    @Test func `a cancel of a running job that is retried catches it where it waits`() async throws {
        try await withQueue { fixture async throws in
            let jobID = try await fixture.enqueue(QueueFixture.job())
            let claim = try await fixture.claim(fixture.worker())
            #expect(try await fixture.queue.cancel(jobID) == .asked)
            try await fixture.settle(claim, act: 1, delay: 3600)
            #expect(try await fixture.maintenance.repeatCancels() == 1)
            #expect(try await fixture.state(jobID) == .cancelled)
            #expect(try await fixture.count("job_cancels") == 0)
        }
    }

    @Test func `depths count each lane up to the cap, with the age of its head`() async throws {
        try await withQueue { fixture async throws in
            _ = try await fixture.queue.enqueue((0..<30).map { QueueFixture.job(environmentID: 1 + Int64($0 % 2)) })
            try await fixture.run("update evergrant.jobs_ready set created_at = now() - interval '1 hour' where id = 1")
            let depths = try await fixture.queue.depths(cap: 10).sorted { $0.environmentID < $1.environmentID }
            #expect(depths.map(\.jobs) == [10, 10] && depths.allSatisfy(\.isCapped))
            #expect(depths[0].oldestAge > 3599 && depths[1].oldestAge < 600)
            let exact = try await fixture.queue.depths()
            #expect(exact.map(\.jobs) == [15, 15] && exact.allSatisfy { !$0.isCapped })
        }
    }

    @Test func `a paused queue is not claimed from until it goes on`() async throws {
        try await withQueue { fixture async throws in
            let log = EventLog<Int64>()
            let name = QueueName(environmentID: 1, name: "default")
            try await fixture.queue.setPaused(true, queue: name)
            let paused = try await fixture.enqueue(QueueFixture.job())
            let other = try await fixture.enqueue(QueueFixture.job(environmentID: 2))
            let runner = fixture.runner([
                ClosureHandler { job, _ in
                    log.record(job.jobID)
                    return .complete
                }
            ])
            try await whileRunning(runner) {
                await log.wait(for: 1)
                #expect(log.events == [other])
                #expect(try await fixture.state(paused) == .available)
                try await fixture.queue.setPaused(false, queue: name)
                await log.wait(for: 2)
            }
        }
    }

    @Test func `history days are made ahead, and old ones dropped unless a reader is in the way`() async throws {
        try await withQueue { fixture async throws in
            #expect(try await fixture.maintenance.makeHistory() == 0)
            try await fixture.run(
                """
                create table evergrant.jobs_finished_short_20200101 (like evergrant.jobs_finished_short
                    including defaults including constraints);
                alter table evergrant.jobs_finished_short attach partition evergrant.jobs_finished_short_20200101
                    for values from ('2020-01-01 00:00+00') to ('2020-01-02 00:00+00');
                """)
            try await fixture.pool.transaction { reader in
                try await reader.execute(PostgresStatement("read", "select count(*) from evergrant.jobs_finished"))
                #expect(try await fixture.maintenance.dropHistory().isEmpty)
            }
            #expect(try await fixture.maintenance.dropHistory() == ["jobs_finished_short_20200101"])
            #expect(try await fixture.maintenance.dropHistory().isEmpty)
            #expect(try await fixture.count("jobs_finished") == 0)
        }
    }
}
