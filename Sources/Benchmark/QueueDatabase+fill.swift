import Postgres
import Queue

extension QueueDatabase {
    /// Puts `count` jobs of the usual kind in line, on the server's side, in slices of a million; the ids of the first and
    /// the last. Then a checkpoint, so that writing them back is not part of what is measured next.
    @discardableResult
    func fill(_ count: Int, environmentID: Int64 = environmentID, limitKey: String? = nil) async throws -> ClosedRange<
        Int64
    > {
        let (_, kind) = try await names()
        let queues = try await pool.execute(
            HotPath.nameQueues, [.int8Array([environmentID]), .textArray([Self.queueName])])
        guard count > 0, let queue = try queues.first?.decode(Int32.self) else {
            throw BenchmarkError(.failed, "there is no queue to fill, or nothing to fill it with")
        }
        var first: Int64?
        var last: Int64 = 0
        var left = count
        while left > 0 {
            let slice = min(left, 1_000_000)
            left -= slice
            let rows = try await pool.execute(
                PostgresStatement(
                    "fill queue",
                    """
                    with filled as (
                        insert into evergrant.jobs_ready (queue, kind, priority, limit_key, args)
                        select $1, $2, 2, $5, $3[1 + n % cardinality($3)] from generate_series(1, $4) n returning id)
                    select min(id), max(id) from filled
                    """),
                [
                    .int4(queue), .int4(kind), .jsonbArray(payloads), .int4(Int32(slice)),
                    .optional(limitKey) { .text($0) },
                ])
            guard let (low, high) = try rows.first?.decode(Int64.self, Int64.self) else { continue }
            first = first ?? low
            last = high
        }
        try? await run("checkpoint")
        return min(first ?? last, last)...last
    }

    /// Runs `body` while another session keeps a snapshot of now (REPEATABLE READ), which keeps every row that dies
    /// meanwhile from being cleaned away.
    func whileSnapshotIsHeld<Result: Sendable>(_ body: () async throws -> Result) async throws -> Result {
        try await pool.transaction { reader in
            try await reader.execute(
                PostgresStatement("hold snapshot", "set transaction isolation level repeatable read"))
            try await reader.execute(PostgresStatement("take snapshot", "select count(*) from pg_class"))
            return try await body()
        }
    }
}
