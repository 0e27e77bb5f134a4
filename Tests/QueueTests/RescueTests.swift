import Foundation
import Postgres
import TestSupport
import Testing

@testable import Queue

@Suite struct RescueTests {
    @Test func `rescue leaves a lease whose settle is in flight, and then finds its mark`() async throws {
        try await withQueue { fixture async throws in
            let ids = try await fixture.queue.enqueue([QueueFixture.job(), QueueFixture.job()]).compactMap(\.jobID)
            let claim = try await fixture.claim(fixture.worker())
            try await fixture.declareDead(claim.worker)
            try await fixture.pool.transaction { transaction async throws in
                try await fixture.settle(claim, [ids[0]], last: false, in: transaction)
                #expect(try await fixture.maintenance.rescue() == 0)
            }
            #expect(try await fixture.maintenance.rescue() == 1)
            #expect(try await fixture.state(ids[0]) == .completed)
            #expect(try await fixture.state(ids[1]) == .available)
            #expect(try await fixture.count("lease_marks") == 0)
        }
    }

    @Test func `a settle that meets a rescue waits for it and is refused`() async throws {
        try await withQueue { fixture async throws in
            let jobID = try await fixture.enqueue(QueueFixture.job())
            let claim = try await fixture.claim(fixture.worker())
            try await fixture.declareDead(claim.worker)
            try await withThrowingTaskGroup(of: Void.self) { group in
                try await fixture.pool.transaction { rescue in
                    let leases = try await rescue.execute(Statements.rescueLock, [.int4(10)])
                        .map { try $0.decode(Int64.self) }
                    #expect(leases == [claim.lease])
                    group.addTask {
                        let error = await #expect(throws: PostgresError.self) { try await fixture.settle(claim) }
                        #expect(error?.sqlState == "EG001")
                    }
                    try await fixture.someoneWaits()
                    #expect(
                        try await rescue.execute(Statements.rescueMove, [.int8Array(leases)]).value(Int.self) == 1)
                }
                try await group.waitForAll()
            }
            #expect(try await fixture.state(jobID) == .available)
            #expect(try await fixture.count("jobs_finished") == 0)
        }
    }

    @Test func `a whole lease that meets a rescue is settled by one of the two only`() async throws {
        try await withQueue { fixture async throws in
            _ = try await fixture.queue.enqueue((0..<3).map { _ in QueueFixture.job() })
            let claim = try await fixture.claim(fixture.worker())
            try await fixture.declareDead(claim.worker)
            try await withThrowingTaskGroup(of: Int.self) { group in
                try await fixture.pool.transaction { rescue in
                    _ = try await rescue.execute(Statements.rescueLock, [.int4(10)])
                    group.addTask { try await fixture.claim(claim.worker, settling: [claim.lease]).settled }
                    try await fixture.someoneWaits()
                    _ = try await rescue.execute(Statements.rescueMove, [.int8Array([claim.lease])])
                }
                #expect(try await group.next() == 0)
            }
            #expect(try await fixture.count("jobs_ready") == 3)
            #expect(try await fixture.count("jobs_finished") == 0)
        }
    }

    @Test func `the leases of the living are left alone, and the dead are forgotten once rescued`() async throws {
        try await withQueue { fixture async throws in
            _ = try await fixture.enqueue(QueueFixture.job())
            let claim = try await fixture.claim(fixture.worker())
            #expect(try await fixture.maintenance.rescue() == 0)
            try await fixture.declareDead(claim.worker)
            try await fixture.maintenance.forgetWorkers()
            #expect(try await fixture.count("workers") == 1)
            #expect(try await fixture.claim(claim.worker).jobs.isEmpty)
            #expect(try await fixture.maintenance.rescue() == 1)
            try await fixture.maintenance.forgetWorkers()
            #expect(try await fixture.count("workers") == 0)
        }
    }

    @Test func `two crashes cost no attempt, the third and later ones do`() async throws {
        try await withQueue { fixture async throws in
            let jobID = try await fixture.enqueue(QueueFixture.job())
            var attempts: [Int] = []
            for _ in 0..<4 {
                let claim = try await fixture.claim(fixture.worker())
                try await fixture.declareDead(claim.worker)
                try await fixture.maintenance.rescue()
                attempts.append(try await fixture.record(jobID).attempt)
            }
            #expect(attempts == [0, 0, 1, 2])
            let record = try await fixture.record(jobID)
            #expect(record.errors.map(\.type) == ["WorkerLost", "WorkerLost"])
        }
    }

    @Test func `workers that settle with their effects and rescuers that are wrong leave each effect once`()
        async throws
    {
        try await withQueue { fixture async throws in
            try await fixture.run("create table effects (job bigint)")
            _ = try await fixture.queue.enqueue((0..<300).map { _ in QueueFixture.job() })
            let effect = PostgresStatement("effect", "insert into effects values ($1)")
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<3 {
                    group.addTask {
                        var worker = try await fixture.worker()
                        while try await fixture.count("jobs_finished") < 300 {
                            if try await fixture.pool.execute(Statements.beat, [.int8(worker)]).isEmpty {
                                worker = try await fixture.worker()
                            }
                            let claim = try await fixture.claim(worker, limit: 8)
                            for jobID in claim.jobs {
                                do {
                                    try await fixture.pool.transaction { transaction async throws in
                                        try await transaction.execute(effect, [.int8(jobID)])
                                        try await fixture.settle(
                                            claim, [jobID], last: jobID == claim.jobs.last, in: transaction)
                                    }
                                } catch let error as PostgresError where error.sqlState == "EG001" {
                                    break
                                }
                            }
                        }
                    }
                }
                group.addTask {
                    while try await fixture.count("jobs_finished") < 300 {
                        try await fixture.run(
                            "update evergrant.workers set dead = true where random() < 0.2 and not dead")
                        try await fixture.maintenance.rescue()
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await fixture.value("select count(distinct job) from effects", as: Int.self) == 300)
            #expect(try await fixture.value("select count(*) from effects", as: Int.self) == 300)
            #expect(
                try await fixture.value("select count(distinct job_id) from evergrant.jobs_finished", as: Int.self)
                    == 300)
        }
    }
}

extension QueueFixture {
    /// Returns once a session of this database waits for a lock.
    func someoneWaits() async throws {
        try await eventually {
            try await value(
                "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()",
                as: Int.self) > 0
        }
    }
}
