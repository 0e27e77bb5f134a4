import Postgres
import TestSupport
import Testing

@Suite struct PipelineTests {
    private let create = PostgresStatement("create table", "CREATE TABLE t (n int8 CONSTRAINT small CHECK (n < 100))")
    private let insert = PostgresStatement("insert number", "INSERT INTO t VALUES ($1) RETURNING n")
    private let count = PostgresStatement("count rows", "SELECT count(*) FROM t")

    @Test func `a pipeline answers every statement in order`() async throws {
        try await withTestDatabase { database in
            let pool = database.pool()
            // The second statement needs the first one's table already when it is prepared.
            let batch = [(create, [])] + (0..<50).map { (insert, [PostgresParameter.int8($0)]) } + [(count, [])]
            let rows = try await pool.pipeline(batch)
            #expect(rows.count == 52)
            #expect(try rows[10][0].decode(Int.self) == 9)
            #expect(try rows[51][0].decode(Int.self) == 50)
            #expect(try await pool.pipeline([]).isEmpty)
        }
    }

    @Test func `an error in the middle undoes the whole pipeline and names its statement`() async throws {
        try await withTestDatabase { database in
            let pool = database.pool { $0.maximumConnections = 1 }
            try await pool.execute(create)
            for _ in 0..<2 {
                let error = try await Probes.error {
                    _ = try await pool.pipeline([
                        (insert, [.int8(1)]), (insert, [.int8(100)]), (insert, [.int8(2)]), (count, []),
                    ])
                }
                #expect(error.constraint == "small")
                #expect(error.statement == "insert number")
                #expect(try await pool.execute(count)[0].decode(Int.self) == 0)
            }
            let syntax = try await Probes.error {
                _ = try await pool.pipeline([
                    (insert, [.int8(1)]), (PostgresStatement("say nonsense", "SELEKT"), []), (count, []),
                ])
            }
            #expect(syntax.statement == "say nonsense")
            #expect(try await pool.pipeline([(insert, [.int8(1)]), (count, [])])[1][0].decode(Int.self) == 1)
        }
    }

    /// Neither side may wait for the other to read.
    @Test func `a pipeline larger than all buffers does not stall`() async throws {
        try await withTestDatabase { database in
            let pool = database.pool()
            let echo = PostgresStatement("echo text", "SELECT $1::text")
            let text = String(repeating: "x", count: 100_000)
            let rows = try await pool.pipeline((0..<100).map { _ in (echo, [.text(text)]) })
            #expect(rows.count == 100)
            #expect(try rows.allSatisfy { try $0[0].decode(String.self).utf8.count == 100_000 })
        }
    }
}
