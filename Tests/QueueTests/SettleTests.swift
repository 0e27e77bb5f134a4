import Foundation
import Postgres
import TestSupport
import Testing

@testable import Queue

@Suite struct SettleTests {
    @Test func `a leased job is invisible to other claims`() async throws {
        try await withQueue { fixture async throws in
            let jobID = try await fixture.enqueue(QueueFixture.job())
            let claim = try await fixture.claim(fixture.worker())
            #expect(claim.jobs == [jobID])
            #expect(try await fixture.claim(fixture.worker()).jobs.isEmpty)
            #expect(try await fixture.state(jobID) == .running)
        }
    }

    @Test func `each act moves a job to its state`() async throws {
        try await withQueue { fixture async throws in
            let ids = try await fixture.queue.enqueue((0..<7).map { _ in QueueFixture.job() }).compactMap(\.jobID)
            let claim = try await fixture.claim(fixture.worker())
            #expect(claim.jobs == ids)
            try await fixture.settle(claim, [ids[0]], act: 0, last: false)
            try await fixture.settle(claim, [ids[1]], act: 1, delay: 3600, last: false)
            try await fixture.settle(claim, [ids[2]], act: 1, delay: 0, last: false)
            try await fixture.settle(claim, [ids[3]], act: 2, delay: 3600, last: false)
            try await fixture.settle(claim, [ids[4]], act: 4, last: false)
            try await fixture.settle(claim, [ids[5]], act: 5, last: false)
            try await fixture.settle(claim, [ids[6]], act: 6)
            let records = try await ids.asyncMap { try #require(try await fixture.queue.find($0)) }
            #expect(
                records.map(\.state) == [
                    .completed, .retryable, .retryable, .scheduled, .available, .discarded, .cancelled,
                ])
            #expect(records.map(\.attempt) == [1, 1, 1, 0, 0, 1, 1])
            #expect(try await fixture.count("leases") == 0)
            #expect(try await fixture.count("lease_marks") == 0)
            #expect(try await fixture.count("jobs") == 7)
        }
    }

    @Test func `a job keeps its id through retry, promotion, rescue, discard and redrive`() async throws {
        try await withQueue { fixture async throws in
            let jobID = try await fixture.enqueue(QueueFixture.job())
            var claim = try await fixture.claim(fixture.worker())
            try await fixture.settle(claim, act: 1, delay: 3600)
            #expect(try await fixture.state(jobID) == .retryable)
            try await fixture.run("update evergrant.jobs_scheduled set run_at = now()")
            #expect(try await fixture.maintenance.promote() == 1)
            claim = try await fixture.claim(fixture.worker())
            #expect(claim.jobs == [jobID])
            try await fixture.declareDead(claim.worker)
            #expect(try await fixture.maintenance.rescue() == 1)
            claim = try await fixture.claim(fixture.worker())
            #expect(claim.jobs == [jobID])
            try await fixture.settle(claim, act: 5)
            #expect(try await fixture.state(jobID) == .discarded)
            #expect(try await fixture.queue.retry([jobID]) == 1)
            let record = try await fixture.record(jobID)
            #expect(record.state == .available && record.attempt == 0)
            claim = try await fixture.claim(fixture.worker())
            #expect(try await fixture.claim(claim.worker, settling: [claim.lease]).settled == 1)
            #expect(try await fixture.state(jobID) == .completed)
        }
    }

    @Test func `a settle in a transaction that rolls back has not happened`() async throws {
        try await withQueue { fixture async throws in
            let jobID = try await fixture.enqueue(QueueFixture.job(key: "k"))
            let claim = try await fixture.claim(fixture.worker())
            await #expect(throws: TimedOut.self) {
                try await fixture.pool.transaction { transaction async throws in
                    try await fixture.settle(claim, in: transaction)
                    throw TimedOut()
                }
            }
            #expect(try await fixture.state(jobID) == .running)
            try await fixture.settle(claim)
            #expect(try await fixture.state(jobID) == .completed)
        }
    }

    @Test func `a settle after a rescue is refused and takes its effect with it`() async throws {
        try await withQueue { fixture async throws in
            try await fixture.run("create table effects (job bigint)")
            let jobID = try await fixture.enqueue(QueueFixture.job())
            let claim = try await fixture.claim(fixture.worker())
            let settlement = fixture.settlement(claim, jobID)
            try await fixture.declareDead(claim.worker)
            #expect(try await fixture.maintenance.rescue() == 1)
            let error = await #expect(throws: QueueError.self) {
                try await fixture.pool.transaction { transaction async throws in
                    try await transaction.execute(
                        PostgresStatement("effect", "insert into effects values ($1)"), [.int8(jobID)])
                    try await settlement.settle(.complete, in: transaction)
                }
            }
            #expect(error?.code == .leaseLost)
            #expect(try await fixture.value("select count(*) from effects", as: Int.self) == 0)
            #expect(try await fixture.state(jobID) == .available)
        }
    }

    @Test func `settle if mine answers false after a rescue and lets the effect commit`() async throws {
        try await withQueue { fixture async throws in
            try await fixture.run("create table effects (job bigint)")
            let jobID = try await fixture.enqueue(QueueFixture.job())
            let claim = try await fixture.claim(fixture.worker())
            let settlement = fixture.settlement(claim, jobID)
            try await fixture.declareDead(claim.worker)
            try await fixture.maintenance.rescue()
            let effect = PostgresStatement("effect", "insert into effects values ($1)")
            let mine = try await fixture.pool.transaction { transaction async throws in
                try await transaction.execute(effect, [.int8(jobID)])
                return try await settlement.settleIfMine(.complete, in: transaction)
            }
            #expect(!mine)
            let answers = try await fixture.pool.pipeline(
                [(effect, [.int8(jobID)]), settlement.settleIfMineStatement(.complete)])
            #expect(try answers[1].value(Bool.self) == false)
            #expect(try await fixture.value("select count(*) from effects", as: Int.self) == 2)
        }
    }

    @Test func `settle if mine settles once, alone and in a pipeline, and closes a lease of one job`() async throws {
        try await withQueue { fixture async throws in
            for inPipeline in [false, true] {
                let jobID = try await fixture.enqueue(QueueFixture.job())
                let claim = try await fixture.claim(fixture.worker())
                let settlement = fixture.settlement(claim, jobID)
                if inPipeline {
                    let answers = try await fixture.pool.pipeline([settlement.settleIfMineStatement(.complete)])
                    #expect(try answers[0].value(Bool.self) == true)
                } else {
                    #expect(try await settlement.settleIfMine(.complete, in: fixture.pool))
                }
                #expect(try await !settlement.settleIfMine(.complete, in: fixture.pool))
                #expect(try await fixture.state(jobID) == .completed)
                #expect(try await fixture.count("leases") == 0)
                #expect(try await fixture.count("lease_marks") == 0)
            }
        }
    }

    @Test func `a settle names what is wrong with it`() async throws {
        try await withQueue { fixture async throws in
            let ids = try await fixture.queue.enqueue((0..<3).map { _ in QueueFixture.job() }).compactMap(\.jobID)
            let claim = try await fixture.claim(fixture.worker())
            func sqlState(_ body: () async throws -> Void) async -> String? {
                await #expect(throws: PostgresError.self) { try await body() }?.sqlState
            }
            try await fixture.settle(claim, [ids[0]], last: false)
            #expect(await sqlState { try await fixture.settle(claim, [ids[0]], last: false) } == "EG002")
            #expect(await sqlState { try await fixture.settle(claim, [99], last: false) } == "EG002")
            #expect(await sqlState { try await fixture.settle(claim, [ids[1]], last: true) } == "EG003")
            #expect(await sqlState { try await fixture.settle(claim, [ids[1]], act: 7, last: false) } == "EG004")
            #expect(await sqlState { try await fixture.settle(claim, [ids[1], ids[1]], last: false) } == "EG004")
            let stranger = HandClaim(worker: claim.worker + 1, settled: 0, lease: claim.lease, jobs: claim.jobs)
            #expect(await sqlState { try await fixture.settle(stranger, [ids[1]], last: false) } == "EG001")
            // A lease with marks does not go as a whole, or its settled job would be settled twice.
            #expect(try await fixture.claim(claim.worker, settling: [claim.lease]).settled == 0)
            try await fixture.settle(claim, Array(ids[1...]))
            #expect(try await fixture.count("jobs_finished") == 3)
        }
    }

    @Test func `the errors of attempts are kept, and one of the same attempt and type takes the last one's place`()
        async throws
    {
        try await withQueue { fixture async throws in
            let jobID = try await fixture.enqueue(QueueFixture.job())
            for (act, type) in [(1, "A"), (2, "U"), (2, "U"), (1, "B")] {
                let claim = try await fixture.claim(fixture.worker())
                try await fixture.pool.execute(
                    Statements.settleHeld,
                    [
                        .int8(claim.lease), .int8(claim.worker), .int8Array(claim.jobs), .int2Array([Int16(act)]),
                        .float8Array([0]), .jsonbArray([JobFailure(type: type, message: "m").json]), .bool(true),
                    ])
            }
            let record = try await fixture.record(jobID)
            #expect(record.errors.map(\.type) == ["A", "U", "B"])
            #expect(record.errors.map(\.attempt) == [1, 2, 2])
            #expect(record.errors.allSatisfy { $0.worker != nil && $0.at?.hasPrefix("20") == true })
        }
    }
}

extension QueueFixture {
    /// What a handler of a job claimed by hand would get.
    func settlement(_ claim: HandClaim, _ jobID: Int64) -> JobSettlement {
        let lease = LeaseReference(leaseID: claim.lease, workerID: claim.worker)
        let state = RunnerState(JobRunnerConfiguration())
        state.withLock { $0.ledger.add(lease, keyed: false, jobs: claim.jobs) }
        return JobSettlement(
            job: leased(jobID, lease: lease, size: claim.jobs.count),
            backoff: ClosureHandler { _, _ in .complete }.backoff,
            runner: state)
    }

    func leased(_ jobID: Int64, attempt: Int = 1, of most: Int = 25, lease: LeaseReference, size: Int = 1) -> LeasedJob
    {
        LeasedJob(
            jobID: jobID, kind: "test", arguments: Array("{}".utf8), environmentID: 1, queue: "default", priority: 2,
            attempt: attempt, maximumAttempts: most, crashes: 0, limitKeys: [], lease: lease, leaseSize: size)
    }
}

extension Sequence {
    func asyncMap<T>(_ transform: (Element) async throws -> T) async rethrows -> [T] {
        var result: [T] = []
        for element in self { result.append(try await transform(element)) }
        return result
    }
}
