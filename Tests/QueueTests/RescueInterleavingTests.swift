import Foundation
import Postgres
import TestSupport
import Testing

@testable import Queue

/// A rescue against settles that commit beside it; the rescue in one statement that runs finished jobs again.
@Suite struct RescueInterleavingTests {
    /// Rescue as one statement, held up after it took its snapshot.
    private static let oneStatement = PostgresStatement(
        "rescue in one statement",
        """
        \(QueueFixture.gate),
        x as (
            delete from evergrant.leases where id = any(array(
                select l.id from evergrant.leases l, gate
                where not exists (select from evergrant.workers w where w.id = l.worker and not w.dead)
                for update of l skip locked))
            returning id, jobs)
        select evergrant.put(array_agg(j)) from x, unnest(x.jobs) j
        where not exists (select from evergrant.lease_marks t
            where t.lease_id = x.id and t.job_id = coalesce(j.job_id, j.id))
        """)

    /// Two jobs of a worker that was declared dead; the first is settled after the rescue took its first snapshot.
    private func settleBetween(
        _ fixture: QueueFixture, _ rescue: @escaping @Sendable () async throws -> Int
    ) async throws -> (jobs: [Int64], moved: Int) {
        try await fixture.run("create table effects (job bigint)")
        let ids = try await fixture.queue.enqueue([QueueFixture.job(), QueueFixture.job()]).compactMap(\.jobID)
        let claim = try await fixture.claim(fixture.worker())
        try await fixture.declareDead(claim.worker)
        let moved = try await withThrowingTaskGroup(of: Int.self) { group in
            try await fixture.holdingGate {
                group.addTask { try await rescue() }
                try await fixture.someoneWaits()
                try await fixture.pool.transaction { transaction async throws in
                    try await transaction.execute(
                        PostgresStatement("effect", "insert into effects values ($1)"), [.int8(ids[0])])
                    try await fixture.settle(claim, [ids[0]], last: false, in: transaction)
                }
            }
            return try await group.next() ?? 0
        }
        return (ids, moved)
    }

    @Test func `a job settled after the rescue's first snapshot and before its second statement is not put back`()
        async throws
    {
        try await withQueue { fixture async throws in
            let slow = PostgresStatement(
                "lock leases slowly",
                QueueFixture.gate
                    + Statements.rescueLock.sql.replacing(
                        "from evergrant.leases l", with: "from evergrant.leases l, gate"))
            let (ids, moved) = try await settleBetween(fixture) {
                try await fixture.pool.transaction { transaction async throws in
                    let leases = try await transaction.execute(slow, [.int4(10)]).map { try $0.decode(Int64.self) }
                    #expect(leases.count == 1)
                    return try await transaction.execute(Statements.rescueMove, [.int8Array(leases)])
                        .value(Int.self) ?? 0
                }
            }
            #expect(moved == 1)
            #expect(try await fixture.count("jobs_ready where id = \(ids[0]) or job_id = \(ids[0])") == 0)
            #expect(try await fixture.state(ids[0]) == .completed)
            #expect(try await fixture.state(ids[1]) == .available)
        }
    }

    @Test func `a rescue in one statement runs a finished job again`() async throws {
        try await withQueue { fixture async throws in
            let (ids, moved) = try await settleBetween(fixture) {
                try await fixture.pool.execute(Self.oneStatement).value(Int.self) ?? 0
            }
            #expect(moved == 2)
            // Its effect is committed, its outcome written, and it is in line again.
            #expect(try await fixture.value("select count(*) from effects where job = \(ids[0])", as: Int.self) == 1)
            #expect(try await fixture.count("jobs_finished where job_id = \(ids[0])") == 1)
            #expect(try await fixture.count("jobs_ready where job_id = \(ids[0])") == 1)
        }
    }

    /// `settle` without the lease row: what its marks alone are worth beside a rescue.
    @Test func `a settle that does not take its lease commits an effect of a job that was put back`() async throws {
        try await withOwnQueue { fixture async throws in
            try await fixture.run(
                """
                create table effects (job bigint);
                create function faulty_settle(lease bigint, me bigint, job bigint) returns int language sql as $$
                    select evergrant.settle_rows(lease, me, array[job], '{0}', '{0}', '{null}')
                $$;
                """)
            let jobID = try await fixture.enqueue(QueueFixture.job())
            let claim = try await fixture.claim(fixture.worker())
            try await fixture.declareDead(claim.worker)
            try await fixture.pool.transaction { worker async throws in
                try await worker.execute(
                    PostgresStatement("effect", "insert into effects values ($1)"), [.int8(jobID)])
                try await worker.execute(
                    PostgresStatement("settle without lease", "select faulty_settle($1, $2, $3)"),
                    [.int8(claim.lease), .int8(claim.worker), .int8(jobID)])
                // Sees no mark and no lock.
                #expect(try await fixture.maintenance.rescue() == 1)
            }
            #expect(try await fixture.value("select count(*) from effects", as: Int.self) == 1)
            #expect(try await fixture.count("jobs_ready") == 1)
            // Ours, at the same place.
            let other = try await fixture.claim(fixture.worker())
            try await fixture.declareDead(other.worker)
            try await fixture.pool.transaction { worker async throws in
                try await fixture.settle(other, in: worker)
                #expect(try await fixture.maintenance.rescue() == 0)
            }
            #expect(try await fixture.count("jobs_ready") == 0)
        }
    }

    @Test func `a rescue leaves a lease that an open claim settles as a whole`() async throws {
        try await withQueue { fixture async throws in
            let ids = try await fixture.queue.enqueue((0..<3).map { _ in QueueFixture.job() }).compactMap(\.jobID)
            let claim = try await fixture.claim(fixture.worker())
            try await fixture.declareDead(claim.worker)
            try await fixture.pool.transaction { worker async throws in
                let settled = try await fixture.claim(claim.worker, settling: [claim.lease], in: worker).settled
                #expect(settled == 1)
                #expect(try await fixture.maintenance.rescue() == 0)
            }
            #expect(try await fixture.maintenance.rescue() == 0)
            let states = try await ids.asyncMap { try await fixture.state($0) }
            #expect(states == [.completed, .completed, .completed])
        }
    }

    @Test func `of a beat and a declaration at once the first wins and the other does nothing`() async throws {
        try await withQueue { fixture async throws in
            let worker = try await fixture.worker()
            let seen: [PostgresParameter] = [.int8(worker), .int8(0)]
            try await withThrowingTaskGroup(of: Int.self) { group in
                try await fixture.pool.transaction { beating async throws in
                    try await beating.execute(Statements.beat, [.int8(worker)])
                    group.addTask { try await fixture.pool.execute(Statements.declareDead, seen).count }
                    try await fixture.someoneWaits()
                }
                #expect(try await group.next() == 0)
            }
            #expect(try await fixture.count("workers where not dead") == 1)

            let now: [PostgresParameter] = [.int8(worker), .int8(1)]
            try await withThrowingTaskGroup(of: Int.self) { group in
                try await fixture.pool.transaction { declaring async throws in
                    #expect(try await declaring.execute(Statements.declareDead, now).count == 1)
                    group.addTask { try await fixture.pool.execute(Statements.beat, [.int8(worker)]).count }
                    try await fixture.someoneWaits()
                }
                #expect(try await group.next() == 0)
            }
        }
    }

    @Test func `four crashes count one, two, three, four, and cost attempts from the third on`() async throws {
        try await withQueue { fixture async throws in
            _ = try await fixture.enqueue(QueueFixture.job())
            var counted: [String] = []
            for _ in 0..<4 {
                let claim = try await fixture.claim(fixture.worker())
                try await fixture.declareDead(claim.worker)
                try await fixture.maintenance.rescue()
                counted.append(
                    try await fixture.value(
                        "select crashes || ' ' || attempt from evergrant.jobs_ready", as: String.self))
            }
            #expect(counted == ["1 0", "2 0", "3 1", "4 2"])
        }
    }
}
