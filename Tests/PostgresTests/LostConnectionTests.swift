import Foundation
import Postgres
import TestSupport
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

@Suite struct LostConnectionTests {
    @Test func `a session that ended while idle is replaced by the next call`() async throws {
        try await withTestDatabase { database in
            let observer = database.pool()
            let pool = database.pool {
                $0.maximumConnections = 1
                $0.settings = ["work_mem": "1234kB"]
            }
            let setting = PostgresStatement("read setting", "SELECT current_setting('work_mem'), $1::int4")
            for round in 0..<10 {
                let process = try await Probes.processID(pool)
                try await Probes.terminate(process, observer)
                // The statement is prepared and the setting made again in the new session.
                let rows = try await pool.execute(setting, [.int4(Int32(round))])
                #expect(try rows[0].decode(String.self, Int.self) == ("1234kB", round))
                #expect(try await Probes.processID(pool) != process)
            }
        }
    }

    @Test func `a session that ends under a statement is a lost connection, and the next call works`() async throws {
        try await withTestDatabase { database in
            let observer = database.pool()
            let pool = database.pool { $0.maximumConnections = 1 }
            async let failing = Probes.error { try await pool.execute(Probes.sleep) }
            try await Probes.terminate(try await Probes.running("pg_sleep(60)", observer), observer)
            let error = try await failing
            #expect(error.code == .connectionLost)
            #expect(error.sqlState == "57P01")
            #expect(error.statement == "sleep long")
            #expect(error.isRetryable)
            try await pool.execute(Probes.one)
        }
    }

    @Test func `a session lost in a pipeline is a lost connection, and the next call works`() async throws {
        try await withTestDatabase { database in
            let observer = database.pool()
            let pool = database.pool { $0.maximumConnections = 1 }
            async let failing = Probes.error {
                _ = try await pool.pipeline([(Probes.one, []), (Probes.sleep, []), (Probes.one, [])])
            }
            try await Probes.terminate(try await Probes.running("pg_sleep(60)", observer), observer)
            #expect(try await failing.code == .connectionLost)
            try await pool.execute(Probes.one)
        }
    }

    @Test func `every server session has its number`() async throws {
        try await withTestDatabase { database in
            let connection = PostgresConnection(database.configuration, logger: .silent)
            #expect(await connection.sessionNumber == 0)
            let process = try await Probes.processID(connection)
            let first = await connection.sessionNumber
            try await Probes.terminate(process, database.pool())
            try await connection.execute(Probes.one)
            #expect(await connection.sessionNumber > first)
            await connection.close()
            #expect(try await Probes.error { try await connection.execute(Probes.one) }.code == .closed)
        }
    }

    /// Needs a server on a unix socket, as the embedded cluster is.
    @Test(.disabled(if: ProcessInfo.processInfo.environment["EVERGRANT_TEST_DATABASE_URL"] != nil))
    func `a host that does not answer is passed over`() async throws {
        try await withTestDatabase { database in
            // A socket that takes connections and never speaks.
            let directory = NSTemporaryDirectory() + "/evergrant-mute-\(UInt32.random(in: 0 ... .max))"
            mkdir(directory, 0o700)
            let mute = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
            defer {
                close(mute)
                try? FileManager.default.removeItem(atPath: directory)
            }
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: "\(directory)/.s.PGSQL.5432".utf8) }
            let bound = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(mute, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
            try #require(bound == 0 && listen(mute, 8) == 0)

            let host = try await database.pool().execute(
                PostgresStatement(
                    "read place", "SELECT current_setting('unix_socket_directories'), current_setting('port')"))
            let (real, port) = try host[0].decode(String.self, String.self)
            let start = "user=postgres dbname=\(database.name) port=5432"
            try #require(port == "5432")

            var configuration = PostgresConfiguration(url: "\(start) host=\(directory),\(real)")
            configuration.connectTimeout = .milliseconds(200)
            let pool = PostgresPool(configuration, logger: .silent)
            try await pool.execute(Probes.one)
            await pool.close()

            configuration.url = "\(start) host=\(directory)"
            let alone = PostgresPool(configuration, logger: .silent)
            let error = try await Probes.error { try await alone.execute(Probes.one) }
            #expect(error.code == .unreachable)
            #expect(error.message.contains("no answer"))
            await alone.close()
        }
    }

    @Test func `a statement the server has forgotten is prepared again`() async throws {
        try await withTestDatabase { database in
            let connection = PostgresConnection(database.configuration, logger: .silent)
            try await connection.execute(Probes.one)
            let forget = PostgresStatement("forget", "DEALLOCATE ALL")
            try await connection.execute(forget)
            try await connection.execute(Probes.one)
            try await connection.execute(forget)
            let rows = try await connection.pipeline([(Probes.one, []), (Probes.processID, []), (Probes.one, [])])
            #expect(rows.count == 3)
            await connection.close()
        }
    }

    @Test func `a statement whose result changed with its table is prepared again`() async throws {
        try await withTestDatabase { database in
            let connection = PostgresConnection(database.configuration, logger: .silent)
            let read = PostgresStatement("read table", "SELECT * FROM t")
            try await connection.execute(PostgresStatement("create table", "CREATE TABLE t (a int)"))
            try await connection.execute(read)
            try await connection.execute(PostgresStatement("alter table", "ALTER TABLE t ADD b text DEFAULT 'x'"))
            try await connection.execute(PostgresStatement("insert row", "INSERT INTO t VALUES (1)"))
            #expect(try await connection.execute(read)[0].decode(Int.self, String.self) == (1, "x"))
            await connection.close()
        }
    }
}
