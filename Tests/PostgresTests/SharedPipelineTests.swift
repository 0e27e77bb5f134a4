import Postgres
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(5))) struct SharedPipelineTests {
    private static let insert = PostgresStatement(
        "test_insert", "insert into parts (id, value) values ($1, $2) returning id")

    private func table(_ body: (PostgresPool, SharedPipeline) async throws -> Void) async throws {
        try await withTestDatabase { database in
            let pool = database.pool { $0.maximumConnections = 6 }
            try await pool.executeScript(
                PostgresStatement(
                    "test_table", "create table parts (id bigint primary key, value bigint check (value > 0))"))
            try await body(pool, SharedPipeline(pool: pool, width: 1, size: 16))
        }
    }

    private func count(_ pool: PostgresPool) async throws -> Int64 {
        try await pool.execute(PostgresStatement("test_count", "select count(*) from parts")).first?.decode(Int64.self)
            ?? -1
    }

    @Test func `each of many gets its own answer`() async throws {
        try await table { pool, pipeline in
            try await withThrowingTaskGroup(of: Bool.self) { group in
                for id in Int64(1)...200 {
                    group.addTask {
                        let rows = try await pipeline.pipeline([
                            (Self.insert, [.int8(id), .int8(1)]), (Self.insert, [.int8(-id), .int8(1)]),
                        ])
                        return try rows.map { try $0.first?.decode(Int64.self) } == [id, -id]
                    }
                }
                for try await isOwn in group { #expect(isOwn) }
            }
            #expect(try await count(pool) == 400)
            let transactions = try await pool.execute(
                PostgresStatement("test_transactions", "select count(distinct xmin::text) from parts")
            ).first?.decode(Int64.self)
            #expect(transactions ?? 400 < 100)
        }
    }

    @Test func `one that is refused undoes its own part and nothing of the others`() async throws {
        try await table { pool, pipeline in
            let refused = try await withThrowingTaskGroup(of: Int64?.self) { group in
                for id in Int64(1)...40 {
                    group.addTask {
                        do {
                            _ = try await pipeline.pipeline([
                                (Self.insert, [.int8(id), .int8(1)]),
                                (Self.insert, [.int8(-id), .int8(id % 10 == 0 ? 0 : 1)]),
                            ])
                            return nil
                        } catch let error as PostgresError where error.sqlState == "23514" {
                            return id
                        }
                    }
                }
                return try await group.reduce(into: Set<Int64>()) { if let id = $1 { $0.insert(id) } }
            }
            #expect(refused == [10, 20, 30, 40])
            #expect(try await count(pool) == 72)
        }
    }

    @Test func `a locked row holds up its own statement only`() async throws {
        try await table { pool, pipeline in
            for id in Int64(1)...10 { try await pool.execute(Self.insert, [.int8(id), .int8(1)]) }
            let update = PostgresStatement("test_update", "update parts set value = 2 where id = $1 returning id")
            try await pool.withConnection { holder in
                try await holder.executeScript(
                    PostgresStatement("test_lock", "begin; select from parts where id = 5 for update"))
                await withTaskGroup(of: Int64.self) { group in
                    for id in Int64(1)...10 {
                        group.addTask {
                            _ = try? await pipeline.execute(update, [.int8(id)])
                            return id
                        }
                    }
                    var ended: [Int64] = []
                    while ended.count < 9, let id = await group.next() { ended.append(id) }
                    #expect(ended.sorted() == [1, 2, 3, 4, 6, 7, 8, 9, 10])
                    try? await holder.executeScript(PostgresStatement("test_unlock", "commit"))
                    #expect(await group.next() == 5)
                }
            }
        }
    }
}
