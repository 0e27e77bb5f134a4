import ChaosSupport
import Postgres
import TestSupport
import Testing

@testable import QueueChaos

@Suite struct ProxyTests {
    /// A database behind a proxy of its own, and a pool of one session that goes through it.
    private func withProxy(_ body: (Proxy, PostgresPool, TestDatabase) async throws -> Void) async throws {
        try await withTestDatabase { database in
            let proxy = try Proxy(upstream: Proxy.socketPath(of: database.url))
            defer { proxy.stop() }
            let port = try proxy.add().port
            let pool = database.pool {
                $0.url = Proxy.url(port: port, database: database.name)
                $0.maximumConnections = 1
                $0.connectTimeout = .seconds(2)
            }
            try await body(proxy, pool, database)
        }
    }

    private let session = PostgresStatement("read session", "select pg_backend_pid()")

    private func backend(_ pool: PostgresPool) async throws -> Int32? {
        try await pool.execute(session).first?.decode(Int32.self)
    }

    @Test func `a frozen gate holds a statement back and breaks no session`() async throws {
        try await withProxy { proxy, pool, database async throws in
            let before = try await backend(pool)
            proxy.set(.frozen)
            async let waiting = backend(pool)
            // Nobody gets in either.
            let other = database.pool {
                $0.url = pool.configuration.url
                $0.connectTimeout = .milliseconds(200)
            }
            let error = await #expect(throws: PostgresError.self) { try await backend(other) }
            #expect(error?.code == .unreachable)
            proxy.set(.open)
            let after = try await waiting
            #expect(before != nil && after == before)
        }
    }

    @Test func `a cut gate ends sessions and lets nobody in`() async throws {
        try await withProxy { proxy, pool, _ async throws in
            let before = try await backend(pool)
            proxy.set(.cut)
            await #expect(throws: PostgresError.self) { try await backend(pool) }
            await #expect(throws: PostgresError.self) { try await backend(pool) }
            proxy.set(.open)
            let after = try await backend(pool)
            #expect(after != nil && after != before)
        }
    }

    @Test func `a deaf gate lets a statement take effect and loses its answer`() async throws {
        try await withProxy { proxy, pool, database async throws in
            try await pool.execute(PostgresStatement("make table", "create table t (n int)"))
            let write = PostgresStatement("write", "insert into t values (1)")
            // Prepared over the session that will be deaf: its answer would be missed first.
            try await pool.execute(write)
            let direct = database.pool()
            proxy.set(.deaf)
            let answer = Task { try await pool.execute(write) }
            let count = PostgresStatement("count", "select count(*) from t")
            var rows = 0
            let began = ContinuousClock.now
            while rows < 2, ContinuousClock.now - began < .seconds(10) {
                rows = try await direct.execute(count).first?.decode(Int.self) ?? 0
            }
            #expect(rows == 2)
            proxy.set(.open)
            let error = await #expect(throws: PostgresError.self) { try await answer.value }
            #expect(error?.code == .connectionLost)
        }
    }

    @Test func `a slow gate delays both ways`() async throws {
        try await withProxy { proxy, pool, _ async throws in
            _ = try await backend(pool)
            proxy.set(.slow(50))
            let took = try await ContinuousClock().measure { _ = try await backend(pool) }
            #expect(took >= .milliseconds(100))
        }
    }
}
