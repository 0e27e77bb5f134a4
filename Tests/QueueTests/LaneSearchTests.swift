import Pacing
import Postgres
import TestSupport
import Testing

@testable import Queue

/// The search for lanes in one statement, against counting all rows.
@Suite struct LaneSearchTests {
    private struct Found: Equatable {
        let lane: Lane
        let first: Int64
    }

    private func search(_ fixture: QueueFixture, _ table: LaneTable, server: Double) async throws -> [Found] {
        let known = table.known(fromZero: false)
        return try await fixture.pool.execute(
            Statements.lanes,
            [
                .int4Array(known.queues), .int2Array(known.priorities), .int8Array(known.lows), .float8(server),
            ]
        ).map { row in
            let (queue, priority, id) = try row.decode(Int32.self, Int16.self, Int64.self)
            return Found(lane: Lane(queue: queue, priority: priority), first: id)
        }
    }

    @Test(arguments: 0..<4 as Range<UInt64>)
    func `it finds the lanes and heads that grouping finds, whatever is known, stale or empty`(seed: UInt64)
        async throws
    {
        try await withQueue { fixture async throws in
            var generator = SeededGenerator(seed)
            let server = try await fixture.server()
            for step in 0..<20 {
                let queue = Int.random(in: 1...12, using: &generator)
                let priority = Int.random(in: -2...3, using: &generator)
                try await fixture.run(
                    """
                    insert into evergrant.jobs_ready (queue, priority, kind, args)
                    select \(queue), \(priority), 1, '{}'
                    from generate_series(1, \(Int.random(in: 1...4, using: &generator)));
                    delete from evergrant.jobs_ready where id in (
                        select id from evergrant.jobs_ready where id % 5 = \(Int.random(in: 0..<5, using: &generator))
                        order by id limit \(Int.random(in: 0...3, using: &generator)));
                    """)
                let want = try await fixture.pool.execute(
                    PostgresStatement(
                        "group lanes",
                        "select queue, priority, min(id) from evergrant.jobs_ready group by 1, 2 order by 1, 2")
                ).map { row in
                    let (queue, priority, id) = try row.decode(Int32.self, Int16.self, Int64.self)
                    return Found(lane: Lane(queue: queue, priority: priority), first: id)
                }
                var table = LaneTable()
                // Some of the true lanes, some with their marks, and some that are empty by now.
                let empty = (0..<3).map { _ in
                    Lane(
                        queue: .random(in: 1...14, using: &generator), priority: .random(in: -3...4, using: &generator))
                }.filter { lane in !want.contains { $0.lane == lane } }
                let known = want.filter { _ in Bool.random(using: &generator) }
                _ = table.found(
                    Set(known.map(\.lane) + empty).sorted().map { ($0, 1) }, marks: [:], at: BootInstant(nanoseconds: 0)
                )
                table.raise(
                    known.filter { _ in Bool.random(using: &generator) }.map { ($0.lane, $0.first) },
                    epoch: table.epoch)
                let found = try await search(fixture, table, server: server)
                #expect(found == want, "seed \(seed), step \(step)")
                let fromNothing = try await search(fixture, LaneTable(), server: server)
                #expect(fromNothing == want, "seed \(seed), step \(step)")
            }
        }
    }

    @Test func `a paused queue's lanes are not among them`() async throws {
        try await withQueue { fixture async throws in
            let server = try await fixture.server()
            _ = try await fixture.queue.enqueue((0..<6).map { QueueFixture.job(environmentID: 1 + Int64($0 % 2)) })
            try await fixture.queue.setPaused(true, queue: QueueName(environmentID: 1, name: "default"))
            let lanes = try await search(fixture, LaneTable(), server: server)
            let paused = try await fixture.value(
                "select id from evergrant.queues where environment_id = 1", as: Int32.self)
            #expect(lanes.count == 1 && lanes[0].lane.queue != paused)
        }
    }

    @Test func `one job beside a backlog of 100,000 of another environment is in the first round`() async throws {
        try await withQueue { fixture async throws in
            let server = try await fixture.server()
            _ = try await fixture.enqueue(QueueFixture.job())
            try await fixture.run(
                """
                insert into evergrant.jobs_ready (queue, priority, kind, args)
                select 1, 2, 1, '{}' from generate_series(1, 100000)
                """)
            let alone = try await fixture.enqueue(QueueFixture.job(environmentID: 2))
            var table = LaneTable()
            _ = table.found(
                try await search(fixture, table, server: server).map { ($0.lane, $0.first) }, marks: [:],
                at: BootInstant(nanoseconds: 0))
            let shares = table.round(free: 10, fromZero: false)
            let rows = try await fixture.pool.execute(
                Statements.settleAndClaim,
                [
                    .int8Array([]), .int8(try await fixture.worker()), .int4Array(shares.map(\.lane.queue)),
                    .int2Array(shares.map(\.lane.priority)), .int8Array(shares.map(\.low)),
                    .int4Array(shares.map { Int32($0.want) }), .float8(server),
                ])
            let claimed = try rows.map { try $0["job_id", as: Int64.self] }
            #expect(claimed.count == 6 && claimed.contains(alone))
        }
    }
}
