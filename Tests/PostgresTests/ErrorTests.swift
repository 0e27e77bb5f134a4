import Foundation
import Postgres
import TestSupport
import Testing

@Suite struct ErrorTests {
    @Test func `a value of another type is a decoding error that names statement and column`() async throws {
        try await withTestDatabase { database in
            let rows = try await database.pool().execute(
                PostgresStatement("read mixture", "SELECT 1::int4 AS n, NULL::text AS t, 1.5::numeric AS d"))
            func failure<T: PostgresDecodable>(_ type: T.Type, _ column: String) throws -> PostgresError {
                try #require(#expect(throws: PostgresError.self) { _ = try rows[0][column, as: type] })
            }
            let wrong = try failure(String.self, "n")
            #expect(wrong.code == .decoding)
            #expect(wrong.statement == "read mixture")
            #expect(wrong.message == "column 1 \"n\" is of type int4, which does not decode as String")
            #expect(try failure(Int16.self, "n").code == .decoding)
            #expect(try failure([Int32].self, "n").code == .decoding)
            #expect(try failure(String.self, "t").message == "column 2 \"t\" is null, but String is not optional")
            #expect(try failure(Double.self, "d").message.contains("numeric"))
            let tooMany = #expect(throws: PostgresError.self) {
                _ = try rows[0].decode(Int.self, String?.self, Double?.self, Int.self)
            }
            #expect(tooMany?.code == .decoding)
        }
    }

    @Test func `a violated constraint is named`() async throws {
        try await withTestDatabase { database in
            let pool = database.pool()
            try await pool.execute(
                PostgresStatement("create table", "CREATE TABLE t (n int8 CONSTRAINT t_n_once PRIMARY KEY)"))
            let insert = PostgresStatement("insert number", "INSERT INTO t VALUES ($1)")
            try await pool.execute(insert, [.int8(7_654_321)])
            let error = try await Probes.error { try await pool.execute(insert, [.int8(7_654_321)]) }
            #expect(error.code == .server)
            #expect(error.sqlState == "23505")
            #expect(error.constraint == "t_n_once")
            #expect(error.statement == "insert number")
            #expect(!error.isRetryable)
        }
    }

    @Test func `parameters never appear in errors`() async throws {
        try await withTestDatabase { database in
            let pool = database.pool()
            try await pool.executeScript(
                PostgresStatement(
                    "create tables",
                    """
                    CREATE TABLE t (s text CONSTRAINT short CHECK (length(s) < 3), v varchar(4), u text UNIQUE, n int NOT NULL DEFAULT 0);
                    CREATE TYPE mood AS ENUM ('fine');
                    """))
            let secret = "tOp-sEcReT\"quoted\"value"
            let texts = [
                "SELECT $1::text::int8", "SELECT $1::text::uuid", "SELECT $1::text::jsonb", "SELECT $1::text::mood",
                "SELECT $1::text::timestamptz", "SELECT $1::text::boolean", "SELECT $1::text::float8",
                "SELECT $1::text::int8[]", "SELECT $1::text::inet", "INSERT INTO t (s) VALUES ($1::text)",
                "INSERT INTO t (v) VALUES ($1::text)", "INSERT INTO t (u, n) VALUES ($1::text, NULL)",
                "INSERT INTO t (u) SELECT $1::text FROM generate_series(1, 2)", "SELECT to_date($1::text, 'YYYY')",
                "SELECT set_config('work_mem', $1::text, false)", "SELECT ('<' || $1::text)::xml",
                "SELECT decode($1::text, 'hex')", "SELECT make_interval() + $1::text::interval",
                "SELECT regexp_match('a', '(' || $1::text)", "SELECT $1::text::numeric",
            ]
            for sql in texts {
                let error = try await Probes.error {
                    try await pool.execute(PostgresStatement("try value", sql), [.text(secret)])
                }
                #expect(error.code == .server, "\(sql)")
                var dumped = ""
                dump(error, to: &dumped)
                for part in ["tOp", "sEcReT", "quoted", "value"] where part != "value" {
                    #expect(!dumped.contains(part) && !"\(error)".contains(part), "\(sql)")
                }
            }
            let bytes = try await Probes.error {
                try await pool.execute(
                    PostgresStatement("read bytes", "SELECT convert_from($1, 'UTF8')"), [.bytea([0xC3, 0x28])])
            }
            #expect(bytes.sqlState == "22021")
            #expect(!bytes.message.contains("0xc3"))
        }
    }

    @Test func `a server that is not there is unreachable`() async throws {
        var configuration = PostgresConfiguration(url: "postgresql:///x?host=/nonexistent-\(UUID())")
        configuration.maximumConnections = 1
        let pool = PostgresPool(configuration, logger: .silent)
        let error = try await Probes.error { try await pool.execute(Probes.one) }
        #expect(error.code == .unreachable)
        #expect(error.isRetryable)
        #expect(error.message.contains("No such file"))
        await pool.close()
    }

    @Test func `a URL that is not valid is misuse, and its password stays out of the error`() async throws {
        let urls = [
            "postgresql://user:pAsSw0rd@host:port:1/x", "postgresql://user:pAsSw0rd@[::1/x",
            "postgresql://user:pAsSw@0rd@host/x", "postgresql://user:0rd/x@host/x", "host=x passwort=pAsSw0rd",
            "pAsSw0rd",
            "postgresql://u@h/x?pAsSw0rd=%zz",
        ]
        for url in urls {
            let pool = PostgresPool(PostgresConfiguration(url: url), logger: .silent)
            let error = try await Probes.error { try await pool.execute(Probes.one) }
            #expect(error.code == .misuse, "\(error)")
            #expect(!"\(error)".contains("0rd"), "\(error)")
            await pool.close()
        }
    }

    @Test func `COPY given to execute is misuse, and the pool goes on`() async throws {
        try await withTestDatabase { database in
            let pool = database.pool { $0.maximumConnections = 1 }
            let error = try await Probes.error {
                try await pool.execute(PostgresStatement("copy out", "COPY (SELECT 1) TO STDOUT"))
            }
            #expect(error.code == .misuse)
            try await pool.execute(Probes.one)
        }
    }

    @Test func `more parameters than the protocol allows are misuse`() async throws {
        try await withTestDatabase { database in
            let pool = database.pool()
            let error = try await Probes.error {
                try await pool.execute(Probes.one, Array(repeating: .int4(1), count: 65_536))
            }
            #expect(error.code == .misuse)
        }
    }

    @Test func `serialization failures, shutdowns and full servers are worth another try`() {
        func isRetryable(_ code: PostgresError.Code, _ state: String = "") -> Bool {
            PostgresError(code, statement: "s", "m", sqlState: state).isRetryable
        }
        for state in ["40001", "40P01", "55P03", "57P01", "57P03", "53300"] { #expect(isRetryable(.server, state)) }
        for state in ["23505", "42601", "57014", "25P02"] { #expect(!isRetryable(.server, state)) }
        #expect(isRetryable(.connectionLost))
        #expect(!isRetryable(.commitUnknown))
        #expect(!isRetryable(.misuse))
    }
}
