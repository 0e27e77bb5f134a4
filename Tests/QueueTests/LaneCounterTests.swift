import Postgres
import TestSupport
import Testing

@testable import Queue

@Suite struct LaneCounterTests {
    private func fold(_ fixture: QueueFixture, _ lanes: [Lane], _ counts: [[Int64]]) async throws {
        try await fixture.pool.execute(
            Statements.foldCounts,
            [
                .int4Array(lanes.map(\.queue)), .int2Array(lanes.map(\.priority)),
                .int8Array(counts.flatMap { $0 }),
            ])
    }

    @Test func `counts of a batch are kept by lane and handed over once`() {
        var counters = LaneCounters()
        let first = Lane(queue: 1, priority: 2)
        let second = Lane(queue: 7, priority: 0)
        for _ in 0..<3 { counters.add(.started, first) }
        counters.add(.started, second)
        counters.add(.completed, first)
        counters.add(.parked, second)
        var taken = counters.take()
        #expect(counters.isEmpty && counters.counts.isEmpty)
        #expect(taken.lanes == [first, second])
        #expect(taken.counts == [3, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1])
        counters.add(.retried, second)
        taken.add(counters)
        #expect(taken.counts == [3, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1])
    }

    @Test func `each way a run ends is counted as what it is, and a job given back as nothing`() {
        let events = (0...6).map { LaneCounters.Event(Settlement(act: $0, delay: 0, note: nil)) }
        #expect(events == [.completed, .retried, .snoozed, .parked, nil, .discarded, .cancelled])
    }

    @Test func `runners that fold at once lose no count, and the row of a lane stays one`() async throws {
        try await withQueue { fixture async throws in
            let lanes = (1...5).map { Lane(queue: $0, priority: Int16($0 % 2)) }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for turn in 0..<20 {
                    group.addTask {
                        let mine = turn % 2 == 0 ? lanes : lanes.reversed()
                        try await fold(fixture, mine, mine.map { _ in [1, 1, 0, 2, 0, 0, 3] })
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await fixture.count("lane_counts") == 5)
            #expect(try await fixture.count("lane_counts where ever = array[20, 20, 0, 40, 0, 0, 60]::bigint[]") == 5)
        }
    }

    @Test func `a new minute moves the counts on, and a minute left out empties them`() async throws {
        try await withQueue { fixture async throws in
            let lane = Lane(queue: 1, priority: 2)
            func arrays() async throws -> [[Int64]] {
                let row = try #require(
                    try await fixture.pool.execute(
                        PostgresStatement("read", "select this_minute, last_minute, ever from evergrant.lane_counts")
                    ).first)
                let (this, last, ever) = try row.decode([Int64].self, [Int64].self, [Int64].self)
                return [this, last, ever].map { [$0[0], $0[1]] }
            }
            // The database's minute may change between two folds: whichever it was, the row is put before it.
            try await fold(fixture, [lane], [[5, 4, 0, 0, 0, 0, 0]])
            try await fixture.run(
                "update evergrant.lane_counts set minute = floor(extract(epoch from clock_timestamp()) / 60) - 1")
            try await fold(fixture, [lane], [[2, 1, 0, 0, 0, 0, 0]])
            let next = try await arrays()
            #expect(next == [[2, 1], [5, 4], [7, 5]] || next == [[2, 1], [0, 0], [7, 5]])
            try await fixture.run("update evergrant.lane_counts set minute = minute - 5")
            try await fold(fixture, [lane], [[1, 1, 0, 0, 0, 0, 0]])
            #expect(try await arrays() == [[1, 1], [0, 0], [8, 6]])
        }
    }

    @Test func `the rate of the last minute weighs the minute before by what of it is left`() async throws {
        try await withQueue { fixture async throws in
            func rate(minutesAgo: Double) async throws -> Double {
                try await fixture.value(
                    """
                    select (evergrant.per_minute(row(1, 2::smallint,
                        floor(extract(epoch from now()) / 60)::bigint - \(Int(minutesAgo)),
                        array[60, 0, 0, 0, 0, 0, 0]::bigint[], array[600, 0, 0, 0, 0, 0, 0]::bigint[],
                        array[0, 0, 0, 0, 0, 0, 0]::bigint[])::evergrant.lane_counts))[1]
                        - case \(Int(minutesAgo)) when 0 then 60 + 600 * x.rest when 1 then 60 * x.rest else 0 end
                    from (select 1 - (extract(epoch from now()) / 60 - floor(extract(epoch from now()) / 60))::float8 rest) x
                    """, as: Double.self)
            }
            for minutes in [0.0, 1, 2, 9] {
                let difference = try await rate(minutesAgo: minutes)
                #expect(abs(difference) < 1e-3, "\(minutes) minutes ago")
            }
        }
    }

    @Test func `what a runner did is in its lanes when it has left`() async throws {
        try await withQueue { fixture async throws in
            let log = EventLog<Int64>()
            _ = try await fixture.queue.enqueue(
                (0..<20).map { QueueFixture.job("good", priority: Int16($0 % 2)) }
                    + (0..<3).map { _ in QueueFixture.job("bad", priority: 3, attempts: 1) }
                    + [QueueFixture.job("settling", priority: 3)])
            let runner = fixture.runner([
                ClosureHandler("good") { job, _ in
                    log.record(job.jobID)
                    return .complete
                },
                ClosureHandler("bad") { job, _ in
                    log.record(job.jobID)
                    throw TimedOut()
                },
                ClosureHandler("settling") { job, settlement in
                    try await fixture.pool.transaction { try await settlement.settle(.cancel, in: $0) }
                    log.record(job.jobID)
                    return .settled
                },
            ])
            try await whileRunning(runner) { await log.wait(for: 24) }
            let lanes = try await fixture.queue.lanes()
            #expect(lanes.map(\.priority) == [0, 1, 3])
            let ever = lanes.map { $0.ever?.named.map(\.value) ?? [] }
            #expect(
                ever == [[10, 10, 0, 0, 0, 0, 0], [10, 10, 0, 0, 0, 0, 0], [4, 0, 0, 3, 1, 0, 0]])
            let rates = lanes.map { $0.perMinute?.started ?? 0 }
            #expect(rates.allSatisfy { $0 > 0 })
        }
    }
}
