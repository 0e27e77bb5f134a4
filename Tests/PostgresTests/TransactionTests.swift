import Postgres
import TestSupport
import Testing

@Suite struct TransactionTests {
    private struct Refusal: Error {}
    private let insert = PostgresStatement("insert number", "INSERT INTO t VALUES ($1)")

    private func withTable(_ body: (PostgresPool, TestDatabase) async throws -> Void) async throws {
        try await withTestDatabase { database in
            let pool = database.pool { $0.maximumConnections = 1 }
            try await pool.execute(
                PostgresStatement("create table", "CREATE TABLE t (n int8 CONSTRAINT small CHECK (n < 100))"))
            try await body(pool, database)
        }
    }

    private func numbers(_ pool: PostgresPool) async throws -> [Int] {
        try await pool.execute(PostgresStatement("read numbers", "SELECT n FROM t ORDER BY n")).map { row in
            try row.decode(Int.self)
        }
    }

    @Test func `a transaction whose closure returns is committed`() async throws {
        try await withTable { pool, database in
            let result = try await pool.transaction { transaction in
                try await transaction.execute(insert, [.int8(1)])
                _ = try await transaction.pipeline([(insert, [.int8(2)]), (insert, [.int8(3)])])
                #expect(try await transaction.copyIn("COPY t FROM STDIN", [Array("4\n".utf8)]) == 1)
                try await transaction.executeScript(
                    PostgresStatement("insert more", "INSERT INTO t VALUES (5); SELECT 1"))
                #expect(try await numbers(database.pool()) == [])
                return "done"
            }
            #expect(result == "done")
            #expect(try await numbers(pool) == [1, 2, 3, 4, 5])
        }
    }

    @Test func `a transaction whose closure throws is rolled back, and its error comes out`() async throws {
        try await withTable { pool, _ in
            await #expect(throws: Refusal.self) {
                try await pool.transaction { transaction in
                    try await transaction.execute(insert, [.int8(1)])
                    throw Refusal()
                }
            }
            let error = try await Probes.error {
                try await pool.transaction { transaction in
                    try await transaction.execute(insert, [.int8(1)])
                    try await transaction.execute(insert, [.int8(100)])
                }
            }
            #expect(error.constraint == "small")
            #expect(try await numbers(pool) == [])
        }
    }

    @Test func `a transaction that hides a failed statement is not taken for committed`() async throws {
        try await withTable { pool, _ in
            let error = try await Probes.error {
                try await pool.transaction { transaction in
                    try await transaction.execute(insert, [.int8(1)])
                    _ = try? await transaction.execute(insert, [.int8(100)])
                }
            }
            #expect(error.code == .server)
            #expect(error.sqlState == "25P02")
            #expect(try await numbers(pool) == [])
        }
    }

    @Test func `a transaction used after its closure is misuse`() async throws {
        try await withTable { pool, _ in
            let escaped = try await pool.transaction { $0 }
            #expect(try await Probes.error { try await escaped.execute(insert, [.int8(1)]) }.code == .misuse)
            try await pool.transaction { _ in
                let code = try await Probes.error { try await escaped.execute(insert, [.int8(1)]) }.code
                #expect(code == .misuse)
            }
            #expect(try await numbers(pool) == [])
        }
    }

    @Test func `a connection in a transaction takes no statements beside it`() async throws {
        try await withTable { pool, _ in
            try await pool.withConnection { connection in
                try await connection.transaction { transaction in
                    try await transaction.execute(insert, [.int8(1)])
                    #expect(try await Probes.error { try await connection.execute(insert, [.int8(2)]) }.code == .misuse)
                    #expect(try await Probes.error { try await connection.transaction { _ in } }.code == .misuse)
                }
                try await connection.execute(insert, [.int8(3)])
            }
            #expect(try await numbers(pool) == [1, 3])
        }
    }

    @Test func `a task cancelled in a transaction rolls back, and the session stays`() async throws {
        try await withTable { pool, database in
            let process = try await Probes.processID(pool)
            let task = Task {
                try await pool.transaction { transaction in
                    try await transaction.execute(insert, [.int8(1)])
                    try await transaction.execute(Probes.sleep)
                }
            }
            _ = try await Probes.running("pg_sleep(60)", database.pool())
            task.cancel()
            #expect(try await Probes.error { try await task.value }.code == .cancelled)
            #expect(try await numbers(pool) == [])
            #expect(try await Probes.processID(pool) == process)
        }
    }

    @Test func `a task cancelled before the commit rolls back`() async throws {
        try await withTable { pool, _ in
            let task = Task {
                try await pool.transaction { transaction in
                    try await transaction.execute(insert, [.int8(1)])
                    withUnsafeCurrentTask { $0?.cancel() }
                }
            }
            let code = try await Probes.error { try await task.value }.code
            #expect(code == .cancelled)
            let left = try await numbers(pool)
            #expect(left == [])
        }
    }

    @Test func `after a loss in a transaction nothing of it runs elsewhere`() async throws {
        try await withTable { pool, database in
            let error = try await Probes.error {
                try await pool.transaction { transaction in
                    try await transaction.execute(insert, [.int8(1)])
                    try await Probes.terminate(try await Probes.processID(transaction), database.pool())
                    let first = try await Probes.error { try await transaction.execute(insert, [.int8(2)]) }
                    #expect(first.code == .connectionLost)
                    #expect(first.sqlState == "57P01")
                    #expect(
                        try await Probes.error { try await transaction.execute(insert, [.int8(3)]) }.code
                            == .connectionLost)
                }
            }
            #expect(error.code == .connectionLost)
            #expect(try await numbers(pool) == [])
        }
    }

    @Test func `a session lost before the commit is a lost connection, not an unknown commit`() async throws {
        try await withTable { pool, database in
            let error = try await Probes.error {
                try await pool.transaction { transaction in
                    try await transaction.execute(insert, [.int8(1)])
                    try await Probes.terminate(try await Probes.processID(transaction), database.pool())
                }
            }
            #expect(error.code == .connectionLost)
            #expect(try await numbers(pool) == [])
        }
    }

    /// A deferred trigger sleeps inside COMMIT, so that the session can be ended there.
    @Test func `a session lost during the commit is an unknown commit`() async throws {
        try await withTable { pool, database in
            try await pool.executeScript(
                PostgresStatement(
                    "create trigger",
                    """
                    CREATE FUNCTION rest() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN NULL; END';
                    CREATE CONSTRAINT TRIGGER rest AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
                        FOR EACH ROW EXECUTE FUNCTION rest();
                    """))
            async let failing = Probes.error {
                try await pool.transaction { transaction in _ = try await transaction.execute(insert, [.int8(1)]) }
            }
            try await Probes.terminate(try await Probes.running("COMMIT", database.pool()), database.pool())
            let error = try await failing
            #expect(error.code == .commitUnknown)
            #expect(error.sqlState == "57P01")
            #expect(!error.isRetryable)
            #expect(try await numbers(pool) == [])
        }
    }

    @Test func `a commit that the server refuses is its error`() async throws {
        try await withTable { pool, _ in
            try await pool.executeScript(
                PostgresStatement(
                    "create constraint",
                    "ALTER TABLE t ADD CONSTRAINT once UNIQUE (n) DEFERRABLE INITIALLY DEFERRED"))
            let error = try await Probes.error {
                try await pool.transaction { transaction in
                    try await transaction.execute(insert, [.int8(1)])
                    try await transaction.execute(insert, [.int8(1)])
                }
            }
            #expect(error.code == .server)
            #expect(error.constraint == "once")
            #expect(error.statement == "commit transaction")
        }
    }
}
