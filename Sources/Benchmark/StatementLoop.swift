import Pacing
import Postgres
import Queue
import Synchronization

/// The ceiling's loop through our Postgres module instead of C: the same two statements in one pipeline, rows decoded as
/// a runner decodes them, no runner and no handlers. What it costs more than C is encoding, decoding and the hand-over
/// between tasks and connection threads; what the closed loop costs more than it is the queue's client.
struct StatementLoop: Sendable {
    var batch: Int
    var connections: Int

    /// What the tasks of one run share.
    private final class Shared: Sendable {
        let low = Atomic<Int64>(0)
        let settled = Atomic<Int>(0)
        let isOver = Atomic<Bool>(false)
        let queue: Int32
        let kind: Int32
        let server: Double

        init(queue: Int32, kind: Int32, server: Double) {
            self.queue = queue
            self.kind = kind
            self.server = server
        }
    }

    func run(on database: QueueDatabase, seconds: Double) async throws -> Throughput {
        let (queue, kind) = try await database.names()
        let shared = Shared(queue: queue, kind: kind, server: try await database.serverStart())
        let pool = database.workerPool(connections: connections + 1)
        do {
            let (measured, consumption) = try await database.meter.measure {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 0..<connections {
                        group.addTask { try await loop(number, pool, database, shared) }
                    }
                    group.addTask { try await scout(pool, shared) }
                    let start = BootInstant.now()
                    group.addTask { try await Task.sleep(for: .seconds(seconds)) }
                    try await group.next()
                    let measured = (shared.settled.load(ordering: .relaxed), start.duration(to: .now()).seconds)
                    shared.isOver.store(true, ordering: .relaxed)
                    try await group.waitForAll()
                    return measured
                }
            }
            await pool.close(grace: .zero)
            return Throughput(
                jobs: measured.0, seconds: measured.1, consumption: consumption,
                consumedJobs: shared.settled.load(ordering: .relaxed))
        } catch {
            await pool.close(grace: .zero)
            throw error
        }
    }

    private func loop(
        _ number: Int, _ pool: PostgresPool, _ database: QueueDatabase, _ shared: Shared
    ) async throws {
        guard
            let worker = try await pool.execute(HotPath.registerWorker, [.text("statements")]).first?.decode(Int64.self)
        else { throw BenchmarkError(.failed, "no worker was registered") }
        var lease: Int64?
        var held = 0
        var turn = number * 97
        let queues = [Int32](repeating: shared.queue, count: batch)
        let kinds = [Int32](repeating: shared.kind, count: batch)
        let priorities = [Int16](repeating: 2, count: batch)
        let attempts = [Int16](repeating: 25, count: batch)
        let limits = [String?](repeating: nil, count: batch)
        while true {
            let stopping = shared.isOver.load(ordering: .relaxed)
            if stopping, lease == nil { return }
            let exchange: [PostgresParameter] = [
                .int8Array(lease.map { [$0] } ?? []), .int8(worker), .int4Array(stopping ? [] : [shared.queue]),
                .int2Array(stopping ? [] : [2]), .int8Array(stopping ? [] : [shared.low.load(ordering: .relaxed)]),
                .int4Array(stopping ? [] : [Int32(batch)]), .float8(shared.server),
            ]
            var statements = [(HotPath.settleAndClaim, exchange)]
            if !stopping {
                let payloads = (0..<batch).map { database.payloads[(turn + $0) % database.payloads.count] }
                statements.insert(
                    (
                        HotPath.enqueue,
                        [
                            .int4Array(queues), .int4Array(kinds), .int2Array(priorities), .int2Array(attempts),
                            .textArray(limits), .jsonbArray(payloads),
                        ]
                    ), at: 0)
                turn += batch
            }
            let answers = try await pool.pipeline(statements)
            guard let rows = answers.last, let first = rows.first else {
                throw BenchmarkError(.failed, "an exchange returned no row")
            }
            let (count, claimed) = try first.decode(Int.self, Int64?.self)
            if lease != nil {
                guard count == 1 else { throw BenchmarkError(.wrongCount, "a lease was lost") }
                shared.settled.add(held, ordering: .relaxed)
            }
            lease = claimed
            held = claimed == nil ? 0 : rows.count
            guard claimed != nil else { continue }
            for row in rows {
                _ = try row.decode(
                    Int.self, Int64.self, Bool.self, Int64.self, Int32.self, Int32.self, Int16.self, Int16.self,
                    Int16.self, Int16.self, String?.self, [UInt8].self, Double?.self)
            }
        }
    }

    /// As the runner's, for one lane.
    private func scout(_ pool: PostgresPool, _ shared: Shared) async throws {
        while !shared.isOver.load(ordering: .relaxed) {
            let answers = try await pool.pipeline([(HotPath.lastID, []), (HotPath.fence, [])])
            guard let last = try answers.first?.first?.decode(Int64.self),
                let fence = try answers.last?.first?.decode(UInt64.self)
            else { throw BenchmarkError(.failed, "the scout's statements returned no row") }
            while !shared.isOver.load(ordering: .relaxed) {
                try await Task.sleep(for: .milliseconds(25))
                let rows = try await pool.execute(
                    HotPath.raiseLow,
                    [
                        .xid8(fence), .int8(last), .int4Array([shared.queue]), .int2Array([2]),
                        .int8Array([shared.low.load(ordering: .relaxed)]), .float8(shared.server),
                    ])
                guard let row = rows.first else { continue }
                let (_, _, mark) = try row.decode(Int32.self, Int16.self, Int64.self)
                shared.low.store(mark, ordering: .relaxed)
                break
            }
        }
    }
}
