import Pacing
import Postgres
import TestSupport
import Testing

@testable import Queue

@Suite struct LaneTableTests {
    private let now = BootInstant(nanoseconds: 0)

    private func table(_ lanes: [Lane]) -> LaneTable {
        var table = LaneTable()
        _ = table.found(lanes.map { ($0, 1) }, marks: [:], at: now)
        return table
    }

    @Test func `a round hands out every free slot and no more`() {
        for free in 1...50 {
            for lanes in 1...12 {
                var table = table((0..<lanes).map { Lane(queue: Int32($0 / 3), priority: Int16($0 % 3)) })
                for _ in 0..<9 {
                    let shares = table.round(free: free, fromZero: false)
                    #expect(shares.reduce(0) { $0 + $1.want } == free)
                    #expect(shares.allSatisfy { $0.want > 0 })
                    #expect(Set(shares.map(\.lane)).count == shares.count)
                }
            }
        }
    }

    @Test func `queues of one priority take turns when there are fewer slots than queues`() {
        var table = table((0..<10).map { Lane(queue: $0, priority: 2) })
        var served: [Int32] = []
        for _ in 0..<10 { served += table.round(free: 1, fromZero: false).map(\.lane.queue) }
        #expect(served.sorted() == Array(0..<10))
    }

    @Test func `urgent lanes get the larger part, and bulk is never starved`() {
        var table = table([Lane(queue: 1, priority: 0), Lane(queue: 1, priority: 3)])
        let shares = table.round(free: 16, fromZero: false)
        #expect(shares.map(\.want) == [12, 4])
        var bulk = 0
        for _ in 0..<8 { bulk += table.round(free: 1, fromZero: false).filter { $0.lane.priority == 3 }.count }
        #expect(bulk == 1)
    }

    @Test func `marks rise only, and only in the epoch they were read in`() {
        let lane = Lane(queue: 1, priority: 2)
        var table = table([lane])
        table.use(server: 1)
        let epoch = table.epoch
        table.raise([(lane, 10)], epoch: epoch)
        table.raise([(lane, 5)], epoch: epoch)
        #expect(table.lows[lane] == 10)
        table.use(server: 1)
        #expect(table.lows[lane] == 10)
        table.use(server: 2)
        #expect(table.lows[lane] == 0)
        _ = table.found([(lane, 1)], marks: [:], at: now)
        table.raise([(lane, 20)], epoch: epoch)
        #expect(table.lows[lane] == 0)
    }

    @Test func `a job below a mark takes all marks back`() {
        let lane = Lane(queue: 1, priority: 2)
        var table = table([lane])
        table.raise([(lane, 10)], epoch: table.epoch)
        let marks = table.lows
        let atMark = table.found([(lane, 10)], marks: marks, at: now)
        // Raised while the search was under way: another runner may have claimed what it saw.
        table.raise([(lane, 20)], epoch: table.epoch)
        let raisedMeanwhile = table.found([(lane, 12)], marks: marks, at: now)
        #expect(atMark && raisedMeanwhile && table.lows[lane] == 20)
        let belowMark = table.found([(lane, 19)], marks: table.lows, at: now)
        #expect(!belowMark)
        #expect(table.lows[lane] == 0)
    }

    @Test func `a lane without jobs is forgotten after a minute`() {
        let lane = Lane(queue: 1, priority: 2)
        var table = table([lane])
        _ = table.found([], marks: [:], at: now.advanced(by: .seconds(59)))
        #expect(table.lows[lane] != nil)
        _ = table.found([], marks: [:], at: now.advanced(by: .seconds(61)))
        #expect(table.lows[lane] == nil)
    }

    @Test func `the search finds the lanes that a count of all rows finds, whatever is known already`() async throws {
        try await withQueue { fixture async throws in
            var generator = SystemRandomNumberGenerator()
            for _ in 0..<15 {
                try await fixture.run(
                    """
                    insert into evergrant.jobs_ready (queue, priority, kind, args)
                    select \(Int.random(in: 1...9)), \(Int.random(in: 0...3)), 1, '{}' from generate_series(1, 3);
                    delete from evergrant.jobs_ready
                    where (queue, priority) = (\(Int.random(in: 1...9)), \(Int.random(in: 0...3)));
                    """)
                let want = try await fixture.pool.execute(
                    PostgresStatement(
                        "count lanes",
                        "select queue, priority, min(id) from evergrant.jobs_ready group by 1, 2 order by 1, 2")
                ).map { row -> (Lane, Int64) in
                    let (queue, priority, id) = try row.decode(Int32.self, Int16.self, Int64.self)
                    return (Lane(queue: queue, priority: priority), id)
                }
                var table = LaneTable()
                _ = table.found(
                    want.filter { _ in Bool.random(using: &generator) }.map { ($0.0, $0.1) }, marks: [:], at: now)
                table.raise(want.map { ($0.0, $0.1) }, epoch: table.epoch)
                let known = table.known(fromZero: false)
                let found = try await fixture.pool.execute(
                    Statements.lanes,
                    [
                        .int4Array(known.queues), .int2Array(known.priorities), .int8Array(known.lows),
                        .float8(try await fixture.server()),
                    ]
                ).map { row -> Lane in
                    let (queue, priority) = try row.decode(Int32.self, Int16.self)
                    return Lane(queue: queue, priority: priority)
                }
                #expect(found == want.map(\.0))
            }
        }
    }
}
