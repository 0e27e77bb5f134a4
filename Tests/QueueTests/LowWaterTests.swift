import Foundation
import Postgres
import TestSupport
import Testing

@testable import Queue

@Suite struct LowWaterTests {
    /// S0 and X0, drawn now; the returned closure reads the mark of queue 1, priority 2: nil while it may not be raised.
    private func scout(_ fixture: QueueFixture) async throws -> @Sendable () async throws -> Int64? {
        let drawn = try #require(try await fixture.pool.execute(Statements.lastID).first)
        let (last, server) = try drawn.decode(Int64.self, Double.self)
        let fence = try #require(try await fixture.pool.execute(Statements.fence).value(UInt64.self))
        return {
            let rows = try await fixture.pool.execute(
                Statements.low,
                [.xid8(fence), .int8(last), .int4Array([1]), .int2Array([2]), .int8Array([0]), .float8(server)])
            return try rows.first.map { try $0["least", as: Int64.self] }
        }
    }

    @Test func `an unused sequence gives the mark 1`() async throws {
        try await withQueue { fixture async throws in
            let read = try await scout(fixture)
            try await eventually { try await read() == 1 }
        }
    }

    @Test func `the mark waits for a transaction that has an id, and does not pass its job`() async throws {
        try await withQueue { fixture async throws in
            _ = try await fixture.queue.enqueue((0..<3).map { _ in QueueFixture.job() })
            let worker = try await fixture.worker()
            _ = try await fixture.claim(worker)
            let (jobID, read) = try await fixture.pool.transaction { writer in
                let jobID = try #require(try await fixture.queue.enqueue([QueueFixture.job()], in: writer)[0].jobID)
                // Others come and go past it.
                _ = try await fixture.queue.enqueue((0..<3).map { _ in QueueFixture.job() })
                _ = try await fixture.claim(worker)
                let read = try await scout(fixture)
                for _ in 0..<3 { #expect(try await read() == nil) }
                return (jobID, read)
            }
            try await eventually { try await read() == jobID }
            #expect(try await fixture.claim(worker, low: jobID).jobs == [jobID])
        }
    }

    @Test func `a job of a transaction that began before the mark and drew its id after it lies above it`() async throws
    {
        try await withQueue { fixture async throws in
            _ = try await fixture.enqueue(QueueFixture.job())
            let worker = try await fixture.worker()
            _ = try await fixture.claim(worker)
            let (jobID, read) = try await fixture.pool.transaction { writer in
                try await writer.execute(PostgresStatement("begin to write", "select pg_current_xact_id()"))
                let read = try await scout(fixture)
                let jobID = try #require(try await fixture.queue.enqueue([QueueFixture.job()], in: writer)[0].jobID)
                #expect(try await read() == nil)
                return (jobID, read)
            }
            try await eventually { try await read() != nil }
            let low = try #require(try await read())
            #expect(low <= jobID)
            #expect(try await fixture.claim(worker, low: low).jobs == [jobID])
        }
    }

    @Test func `a mark drawn before a transaction began does not wait for it, and its job lies above`() async throws {
        try await withQueue { fixture async throws in
            _ = try await fixture.enqueue(QueueFixture.job())
            let worker = try await fixture.worker()
            _ = try await fixture.claim(worker)
            let read = try await scout(fixture)
            let (jobID, low) = try await fixture.pool.transaction { writer in
                let jobID = try #require(try await fixture.queue.enqueue([QueueFixture.job()], in: writer)[0].jobID)
                var low: Int64?
                try await eventually {
                    low = try await read()
                    return low != nil
                }
                return (jobID, try #require(low))
            }
            #expect(low <= jobID)
            #expect(try await fixture.claim(worker, low: low).jobs == [jobID])
        }
    }

    @Test func `marks of another server count for nothing`() async throws {
        try await withQueue { fixture async throws in
            let jobID = try await fixture.enqueue(QueueFixture.job())
            let worker = try await fixture.worker()
            let server = try await fixture.server()
            for (marked, wanted) in [(server, nil), (server + 1, jobID)] {
                let found = try await fixture.pool.execute(
                    Statements.lanes,
                    [
                        .int4Array([1, .max]), .int2Array([2, .max]), .int8Array([jobID + 1, 0]), .float8(marked),
                    ])
                #expect(found.isEmpty == (wanted == nil))
                let claimed = try await fixture.pool.execute(
                    Statements.settleAndClaim,
                    [
                        .int8Array([]), .int8(worker), .int4Array([1]), .int2Array([2]), .int8Array([jobID + 1]),
                        .int4Array([9]), .float8(marked),
                    ])
                let (_, _, _, got) = try #require(claimed.first).decode(
                    Int.self, Int64?.self, Bool?.self, Int64?.self)
                #expect(got == wanted)
            }
        }
    }

    @Test func `a runner performs a job that commits long after its successors were done`() async throws {
        try await withQueue { fixture async throws in
            let log = EventLog<Int64>()
            let runner = fixture.runner([
                ClosureHandler { job, _ in
                    log.record(job.jobID); return .complete
                }
            ]) {
                $0.scoutInterval = .milliseconds(1)
                $0.scoutThreshold = 1
            }
            try await whileRunning(runner) {
                _ = try await fixture.queue.enqueue((0..<100).map { _ in QueueFixture.job() })
                await log.wait(for: 100)
                let late = try await fixture.pool.transaction { writer in
                    let late = try await fixture.queue.enqueue([QueueFixture.job()], in: writer)[0].jobID
                    for round in 2...6 {
                        _ = try await fixture.queue.enqueue((0..<100).map { _ in QueueFixture.job() })
                        await log.wait(for: round * 100)
                    }
                    return late
                }
                await log.wait(for: 601)
                #expect(log.events.contains(late ?? 0))
                // And the marks do rise.
                try await eventually {
                    _ = try await fixture.enqueue(QueueFixture.job())
                    return runner.state.withLock { $0.lanes.lows.values.max() ?? 0 } > 600
                }
            }
        }
    }
}
