import Foundation
import Postgres
import TestSupport
import Testing

@Suite struct InterruptionTests {
    @Test func `a statement over its time is cancelled at the server, and its session stays`() async throws {
        try await withTestDatabase { database in
            let connection = PostgresConnection(database.configuration, logger: .silent)
            try await connection.execute(Probes.one)
            let session = await connection.sessionNumber
            let start = ContinuousClock.now
            let error = try await Probes.error {
                try await connection.execute(Probes.sleep, [], timeout: .milliseconds(50))
            }
            #expect(error.code == .timedOut)
            #expect(error.statement == "sleep long")
            #expect(ContinuousClock.now - start < .seconds(2))
            try await connection.execute(Probes.one)
            #expect(await connection.sessionNumber == session)
            await connection.close()
        }
    }

    @Test func `the configured limit holds where the caller gives none`() async throws {
        try await withTestDatabase { database in
            let pool = database.pool { $0.statementTimeout = .milliseconds(50) }
            #expect(try await Probes.error { try await pool.execute(Probes.sleep) }.code == .timedOut)
            let pipeline = try await Probes.error {
                _ = try await pool.pipeline([(Probes.one, []), (Probes.sleep, [])])
            }
            #expect(pipeline.code == .timedOut)
            #expect(pipeline.statement == "sleep long")
        }
    }

    @Test func `a cancelled task leaves its statement`() async throws {
        try await withTestDatabase { database in
            let observer = database.pool()
            let pool = database.pool { $0.maximumConnections = 1 }
            let task = Task { try await pool.execute(Probes.sleep) }
            _ = try await Probes.running("pg_sleep(60)", observer)
            task.cancel()
            #expect(try await Probes.error { _ = try await task.value }.code == .cancelled)
            try await pool.execute(Probes.one)
        }
    }

    @Test func `a task cancelled before its statement sends nothing`() async throws {
        try await withTestDatabase { database in
            let connection = PostgresConnection(database.configuration, logger: .silent)
            let task = Task {
                withUnsafeCurrentTask { $0?.cancel() }
                try await connection.execute(Probes.one)
            }
            let code = try await Probes.error { _ = try await task.value }.code
            #expect(code == .cancelled)
            #expect(await connection.sessionNumber == 0)
            await connection.close()
        }
    }

    /// A cancel request travels on a connection of its own; one that came late would end the statement after it.
    @Test func `three hundred cancellations at random moments never hit the next statement`() async throws {
        try await withTestDatabase { database in
            let connection = PostgresConnection(database.configuration, logger: .silent)
            let work = PostgresStatement("count far", "SELECT count(*) FROM generate_series(1, 30000)")
            let echo = PostgresStatement("echo number", "SELECT $1::int4")
            try await connection.execute(work)
            let session = await connection.sessionNumber
            var cancelled = 0
            for round in 0..<300 {
                let task = Task { try await connection.execute(work) }
                for _ in 0..<Int.random(in: 0...150) { await Task.yield() }
                task.cancel()
                do { try await _ = task.value } catch let error as PostgresError {
                    #expect(error.code == .cancelled)
                    cancelled += 1
                }
                #expect(try await connection.execute(echo, [.int4(Int32(round))])[0].decode(Int.self) == round)
            }
            #expect(cancelled > 0)
            #expect(await connection.sessionNumber == session)
            await connection.close()
        }
    }

    @Test func `closing a connection gives up its statement`() async throws {
        try await withTestDatabase { database in
            let connection = PostgresConnection(database.configuration, logger: .silent)
            async let failing = Probes.error { try await connection.execute(Probes.sleep) }
            _ = try await Probes.running("pg_sleep(60)", database.pool())
            await connection.close()
            #expect(try await failing.code == .closed)
        }
    }
}
