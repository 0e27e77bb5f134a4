import Foundation
import Postgres
import TestSupport
import Testing

@testable import Queue

/// Jobs that may not run now leave their lane; a settle that parks against a resume that brings back.
@Suite struct ParkingTests {
    private func pause(_ fixture: QueueFixture, _ reason: String, _ key: String) async throws {
        try await fixture.run("insert into evergrant.pauses (reason, limit_key) values ('\(reason)', '\(key)')")
    }

    @Test func `parked jobs do not stand before others in the lane, and come back when the pause is lifted`()
        async throws
    {
        try await withQueue { fixture async throws in
            _ = try await fixture.queue.enqueue((0..<150).map { _ in QueueFixture.job("paused") })
            let others = try await fixture.queue.enqueue((0..<5).map { _ in QueueFixture.job("free") })
                .compactMap(\.jobID)
            try await pause(fixture, "kind", "paused")
            let worker = try await fixture.worker()
            var ran: [Int64] = []
            for _ in 0..<2 {
                let claim = try await fixture.claim(worker)
                let free = claim.jobs.filter(others.contains)
                let held = claim.jobs.filter { !others.contains($0) }
                try await fixture.park(claim, held, reason: "kind", key: "paused", last: free.isEmpty)
                if !free.isEmpty { try await fixture.settle(claim, free) }
                ran += free
            }
            #expect(ran == others)
            #expect(try await fixture.count("jobs_parked where reason = 'kind' and limit_key = 'paused'") == 150)
            #expect(try await fixture.claim(worker).jobs.isEmpty)
            #expect(try await fixture.resume(reason: "kind", key: "paused") == 100)
            #expect(try await fixture.resume(reason: "kind", key: "paused") == 50)
            #expect(try await fixture.claim(worker, limit: 200).jobs.count == 150)
        }
    }

    @Test func `a resume waits for a settle that parks, and brings its job back`() async throws {
        try await withQueue { fixture async throws in
            let jobID = try await fixture.enqueue(QueueFixture.job())
            let claim = try await fixture.claim(fixture.worker())
            try await pause(fixture, "limit", "a")
            try await withThrowingTaskGroup(of: Int.self) { group in
                try await fixture.pool.transaction { worker async throws in
                    try await fixture.park(claim, claim.jobs, reason: "limit", key: "a", in: worker)
                    group.addTask { try await fixture.resume(reason: "limit", key: "a") }
                    try await fixture.someoneWaits()
                }
                #expect(try await group.next() == 1)
            }
            #expect(try await fixture.state(jobID) == .available)
            #expect(try await fixture.count("jobs_parked") == 0)
        }
    }

    @Test func `a settle that parks waits for a resume, and gives its job back`() async throws {
        try await withQueue { fixture async throws in
            let jobID = try await fixture.enqueue(QueueFixture.job())
            let claim = try await fixture.claim(fixture.worker())
            try await pause(fixture, "limit", "a")
            try await withThrowingTaskGroup(of: Void.self) { group in
                try await fixture.pool.transaction { operating async throws in
                    #expect(try await fixture.resume(reason: "limit", key: "a", in: operating) == 0)
                    group.addTask { try await fixture.park(claim, claim.jobs, reason: "limit", key: "a") }
                    try await fixture.someoneWaits()
                }
                try await group.waitForAll()
            }
            #expect(try await fixture.state(jobID) == .available)
            #expect(try await fixture.count("jobs_parked") == 0)
        }
    }

    /// What parking without the pause's row would do: nobody resumes a pause that is over.
    @Test func `a job parked under a pause that was lifted meanwhile would stay for ever`() async throws {
        try await withQueue { fixture async throws in
            let jobID = try await fixture.enqueue(QueueFixture.job())
            let claim = try await fixture.claim(fixture.worker())
            try await pause(fixture, "limit", "a")
            try await fixture.pool.transaction { worker async throws in
                // Looks at the pause without locking it.
                let paused = try await worker.execute(
                    PostgresStatement("look", "select from evergrant.pauses where reason = 'limit'"))
                #expect(paused.count == 1)
                #expect(try await fixture.resume(reason: "limit", key: "a") == 0)
                try await worker.execute(
                    PostgresStatement(
                        "park faultily",
                        """
                        with l as (delete from evergrant.leases where id = $1 returning jobs)
                        insert into evergrant.jobs_parked (job_id, reason, limit_key, job)
                        select coalesce(j.job_id, j.id), 'limit', 'a', j from l, unnest(l.jobs) j
                        """), [.int8(claim.lease)])
            }
            #expect(try await fixture.state(jobID) == .parked)
            #expect(try await fixture.count("pauses") == 0)
        }
    }

    @Test func `a parked job keeps its id, its attempts and its key, and is cancelled like any waiting one`()
        async throws
    {
        try await withQueue { fixture async throws in
            let ids = try await fixture.queue.enqueue([QueueFixture.job(key: "k"), QueueFixture.job()])
                .compactMap(\.jobID)
            let claim = try await fixture.claim(fixture.worker())
            try await pause(fixture, "kind", "test")
            try await fixture.park(claim, claim.jobs, reason: "kind", key: "test")
            let again = try await fixture.queue.enqueue([QueueFixture.job(key: "k")])
            #expect(again == [EnqueuedJob(jobID: ids[0], outcome: .parked)])
            let record = try await fixture.record(ids[0])
            #expect(record.state == .parked && record.attempt == 0)
            #expect(try await fixture.queue.cancel(ids[1]) == .cancelled)
            #expect(try await fixture.resume(reason: "kind", key: "test") == 1)
            #expect(try await fixture.claim(fixture.worker()).jobs == [ids[0]])
        }
    }
}
