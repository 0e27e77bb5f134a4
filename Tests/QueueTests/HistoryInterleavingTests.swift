import Foundation
import Postgres
import TestSupport
import Testing

@testable import Queue

/// Days of history made and dropped while jobs settle and somebody reads for a long time.
@Suite struct HistoryInterleavingTests {
    private func addOldDay(_ fixture: QueueFixture) async throws {
        try await fixture.run(
            """
            create table evergrant.jobs_finished_short_20200101 (like evergrant.jobs_finished_short
                including defaults including constraints);
            alter table evergrant.jobs_finished_short attach partition evergrant.jobs_finished_short_20200101
                for values from ('2020-01-01 00:00+00') to ('2020-01-02 00:00+00');
            """)
    }

    /// Enqueues, claims and settles one job; throws when that takes longer than `limit`.
    private func settleOne(_ fixture: QueueFixture, _ worker: Int64, within limit: Duration) async throws {
        _ = try await fixture.enqueue(QueueFixture.job())
        let claim = try await fixture.claim(worker)
        try await fixture.pool.execute(
            Statements.settleHeld,
            [
                .int8(claim.lease), .int8(worker), .int8Array(claim.jobs), .int2Array(claim.jobs.map { _ in 0 }),
                .float8Array(claim.jobs.map { _ in 0 }), .jsonbArray(claim.jobs.map { _ in nil }), .bool(true),
            ], timeout: limit)
    }

    /// A reader that holds every partition until `body` is over.
    private func reading<T: Sendable>(_ fixture: QueueFixture, _ body: () async throws -> T) async throws -> T {
        try await fixture.pool.transaction { reader async throws in
            try await reader.execute(
                PostgresStatement("isolate", "set transaction isolation level repeatable read"))
            try await reader.execute(PostgresStatement("read", "select count(*) from evergrant.jobs_finished"))
            return try await body()
        }
    }

    @Test func `days are made and drops are refused under a long reader, and jobs settle all the while`() async throws {
        try await withOwnQueue { fixture async throws in
            try await addOldDay(fixture)
            let worker = try await fixture.worker()
            try await reading(fixture) {
                let made = try await fixture.pool.execute(Statements.makeHistory, [.int4(20)]).value(Int.self)
                #expect(made == 12)
                let over = EventLog<Void>()
                try await withThrowingTaskGroup(of: Int.self) { group in
                    group.addTask {
                        var settled = 0
                        while over.events.isEmpty {
                            // A refused drop stands in the way for 200 ms at most.
                            try await settleOne(fixture, worker, within: .seconds(5))
                            settled += 1
                        }
                        return settled
                    }
                    for _ in 0..<3 { #expect(try await fixture.maintenance.dropHistory().isEmpty) }
                    over.record(())
                    let settled = try await group.next() ?? 0
                    #expect(settled > 0)
                }
            }
            #expect(try await fixture.maintenance.dropHistory() == ["jobs_finished_short_20200101"])
            try await settleOne(fixture, worker, within: .seconds(5))
        }
    }

    @Test func `a drop without lock timeout stops every settle until the reader ends`() async throws {
        try await withOwnQueue { fixture async throws in
            try await addOldDay(fixture)
            let worker = try await fixture.worker()
            try await settleOne(fixture, worker, within: .seconds(5))
            try await withThrowingTaskGroup(of: Void.self) { group in
                try await reading(fixture) {
                    group.addTask {
                        try await fixture.pool.executeScript(
                            PostgresStatement("drop", "drop table evergrant.jobs_finished_short_20200101"))
                    }
                    try await fixture.someoneWaits()
                    for _ in 0..<2 {
                        let error = await #expect(throws: PostgresError.self) {
                            try await settleOne(fixture, worker, within: .milliseconds(500))
                        }
                        #expect(error?.code == .timedOut, "\(String(describing: error))")
                    }
                    #expect(try await fixture.count("leases") == 2)
                }
                try await group.waitForAll()
            }
            try await settleOne(fixture, worker, within: .seconds(5))
        }
    }

    @Test func `a discarded job that is deleted is kept in the history with its errors`() async throws {
        try await withQueue { fixture async throws in
            let jobID = try await fixture.enqueue(QueueFixture.job(key: "k"))
            let claim = try await fixture.claim(fixture.worker())
            try await fixture.settle(claim, act: 5)
            let deleted = try await fixture.value("select evergrant.delete_discarded(null, 100)", as: Int.self)
            #expect(deleted == 1)
            #expect(try await fixture.record(jobID).state == .deleted)
            #expect(try await fixture.count("jobs_finished where long and outcome = 5") == 1)
            #expect(try await fixture.queue.retry([jobID]) == 0)
            #expect(try await fixture.queue.enqueue([QueueFixture.job(key: "k")])[0].outcome == .new)
        }
    }
}
