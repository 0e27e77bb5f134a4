import Foundation
import Postgres
import TestSupport
import Testing

@Suite struct PoolTests {
    @Test func `two hundred tasks on eight connections get their own answers`() async throws {
        try await withTestDatabase { database in
            let pool = database.pool { $0.maximumConnections = 8 }
            let double = PostgresStatement("double number", "SELECT $1::int8 * 2, $2")
            try await withThrowingTaskGroup(of: Void.self) { group in
                for task in 0..<200 {
                    group.addTask {
                        for round in 0..<10 {
                            let number = Int64(task * 1000 + round)
                            let row = try await pool.execute(double, [.int8(number), .text("\(number)")])[0]
                            #expect(try row.decode(Int64.self, String.self) == (number * 2, "\(number)"))
                        }
                    }
                }
                try await group.waitForAll()
            }
            let sessions = try await pool.execute(
                PostgresStatement(
                    "count sessions",
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
                ))
            #expect(try sessions[0].decode(Int.self) <= 8)
        }
    }

    @Test func `one connection serves many tasks, each statement whole`() async throws {
        try await withTestDatabase { database in
            let connection = PostgresConnection(database.configuration, logger: .silent)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for task in 0..<200 {
                    group.addTask {
                        let row = try await connection.execute(
                            PostgresStatement("echo \(task % 7)", "SELECT $1::int4"), [.int4(Int32(task))])[0]
                        #expect(try row.decode(Int.self) == task)
                    }
                }
                try await group.waitForAll()
            }
            await connection.close()
        }
    }

    @Test func `who finds no free connection in time is told that the pool is exhausted`() async throws {
        try await withTestDatabase { database in
            let pool = database.pool {
                $0.maximumConnections = 1
                $0.acquireTimeout = .milliseconds(100)
            }
            try await pool.withConnection { _ in
                let error = try await Probes.error { try await pool.execute(Probes.one) }
                #expect(error.code == .poolExhausted)
                #expect(error.statement == "select one")
                #expect(error.message.contains("all 1 are in use"))
            }
            try await pool.execute(Probes.one)
        }
    }

    @Test func `a cancelled task leaves the line, and those behind it are served`() async throws {
        try await withTestDatabase { database in
            let pool = database.pool { $0.maximumConnections = 1 }
            let (leaver, follower) = try await pool.withConnection { _ in
                let leaver = Task { try await pool.execute(Probes.one) }
                let follower = Task { try await pool.execute(Probes.one) }
                leaver.cancel()
                let code = try await Probes.error { _ = try await leaver.value }.code
                #expect(code == .cancelled)
                return (leaver, follower)
            }
            _ = leaver
            #expect(try await follower.value.count == 1)
        }
    }

    @Test func `a transaction left open in a borrowed connection does not reach the next user`() async throws {
        try await withTestDatabase { database in
            let pool = database.pool { $0.maximumConnections = 1 }
            try await pool.execute(PostgresStatement("create table", "CREATE TABLE t (n int)"))
            let begin = PostgresStatement("begin", "BEGIN")
            let insert = PostgresStatement("insert row", "INSERT INTO t VALUES (1)")
            try await pool.withConnection { connection in
                try await connection.execute(begin)
                try await connection.execute(insert)
            }
            let count = PostgresStatement("count rows", "SELECT count(*) FROM t")
            #expect(try await pool.execute(count)[0].decode(Int.self) == 0)
            try await pool.execute(begin)
            try await pool.execute(insert)
            _ = try await pool.pipeline([(begin, []), (insert, [])])
            #expect(try await pool.execute(count)[0].decode(Int.self) == 1)
        }
    }

    @Test func `closing waits for work under way and refuses what comes after`() async throws {
        try await withTestDatabase { database in
            let observer = database.pool()
            let pool = database.pool { $0.maximumConnections = 1 }
            let gate = PostgresStatement("wait for gate", "SELECT pg_advisory_lock(1)")
            try await observer.withConnection { holder in
                try await holder.execute(gate)
                let working = Task { try await pool.execute(gate) }
                _ = try await Probes.running("pg_advisory_lock", observer)
                let waiting = Task { try await pool.execute(Probes.one) }
                let closing = Task { await pool.close(grace: .seconds(60)) }
                #expect(try await Probes.error { _ = try await waiting.value }.code == .closed)
                try await holder.execute(PostgresStatement("open gate", "SELECT pg_advisory_unlock(1)"))
                #expect(try await working.value.count == 1)
                await closing.value
                #expect(try await Probes.error { try await pool.execute(Probes.one) }.code == .closed)
            }
        }
    }

    @Test func `closing gives up work that does not end in its grace`() async throws {
        try await withTestDatabase { database in
            let pool = database.pool()
            async let failing = Probes.error { try await pool.execute(Probes.sleep) }
            _ = try await Probes.running("pg_sleep(60)", database.pool())
            await pool.close(grace: .milliseconds(20))
            #expect(try await failing.code == .closed)
        }
    }

    @Test func `without prepared statements everything else works the same`() async throws {
        try await withTestDatabase { database in
            let pool = database.pool { $0.preparesStatements = false }
            let echo = PostgresStatement("echo", "SELECT $1::int8, $2::text")
            for number in [1, nil] as [Int64?] {
                let row = try await pool.execute(echo, [.optional(number) { .int8($0) }, .text("x")])[0]
                #expect(try row.decode(Int64?.self, String.self) == (number, "x"))
            }
            let rows = try await pool.pipeline([(echo, [.int8(1), .null]), (echo, [.int8(2), .null])])
            #expect(try rows.map { try $0[0]["int8", as: Int.self] } == [1, 2])
            let sum = try await pool.transaction { transaction in
                try await transaction.execute(echo, [.int8(40), .null])[0]["int8", as: Int.self] + 2
            }
            #expect(sum == 42)
            let names = try await pool.execute(
                PostgresStatement("count prepared", "SELECT count(*) FROM pg_prepared_statements"))
            #expect(try names[0].decode(Int.self) == 0)
        }
    }
}
