import Credentials
import Foundation
import Postgres
import Store
import TestSupport
import Testing

@Suite struct TransitionTests {
    @Test func `every change of state writes one event and counts the version`() async throws {
        try await withMigratedDatabase { database in
            let pool = database.pool()
            let id = try await pool.makeConnection()
            for state in ["degraded", "suspected", "broken", "active", "suspected", "active", "revoking", "revoked"] {
                try await pool.set(state: state, of: id)
                try await pool.set(state: state, of: id)
            }
            let events = try await pool.execute(
                PostgresStatement(
                    "test_events",
                    "select type, connection_version from evergrant.events where connection_id = $1 order by id"),
                [.int8(id)]
            ).map { try $0.decode(String.self, Int64.self) }
            #expect(
                events.map(\.0) == [
                    "connection.created", "connection.degraded", "connection.suspected", "connection.broken",
                    "connection.recovered", "connection.suspected", "connection.restored", "connection.deleted",
                    "connection.revoked",
                ])
            #expect(events.map(\.1) == Array(1...9))
        }
    }

    @Test func `a transition that is rolled back leaves no event`() async throws {
        struct Undo: Error {}
        try await withMigratedDatabase { database in
            let pool = database.pool()
            let id = try await pool.makeConnection()
            await #expect(throws: Undo.self) {
                try await pool.transaction { transaction in
                    try await transaction.set(state: "broken", of: id)
                    throw Undo()
                }
            }
            let count = try await pool.execute(PostgresStatement("test_count", "select count(*) from evergrant.events"))
            let events = try #require(count.first).decode(Int.self)
            #expect(events == 1)
        }
    }

    @Test func `an unknown state is refused by the table itself`() async throws {
        try await withMigratedDatabase { database in
            let pool = database.pool()
            let id = try await pool.makeConnection()
            let error = await #expect(throws: PostgresError.self) { try await pool.set(state: "lost", of: id) }
            #expect(error?.constraint == "connection_state_is_known")
        }
    }

    @Test(arguments: [
        (
            "connections_refresh_due", "refresh_due_at <= now()",
            "refresh_due_at is not null and state in ('active', 'degraded', 'suspected') order by refresh_due_at limit 10"
        ),
        (
            "connections_open_attempts", "attempt_deadline < clock_timestamp()",
            "attempt_nonce is not null order by attempt_deadline limit 10"
        ),
        ("connections_revoke_due", "next_attempt_at <= now()", "state = 'revoking' order by next_attempt_at limit 10"),
    ])
    func `a sweep reads its index, with statistics and without`(index: String, due: String, rest: String) async throws {
        try await withMigratedDatabase { database in
            let pool = database.pool()
            _ = try await pool.makeConnection(copies: 5000)
            let explain = PostgresStatement(
                "test_explain", "explain select id from evergrant.connections where \(due) and \(rest)")
            for analyze in [false, true] {
                if analyze {
                    try await pool.execute(PostgresStatement("test_analyze", "analyze evergrant.connections"))
                }
                let plan = try await pool.execute(explain).map { try $0.decode(String.self) }.joined(separator: "\n")
                #expect(plan.contains(index), "\(plan)")
            }
        }
    }
}

extension PostgresQuerying {
    /// Connections in one environment; returns the last one's id.
    func makeConnection(copies: Int = 1) async throws -> Int64 {
        let rows = try await execute(
            PostgresStatement(
                "test_make_connections",
                """
                with environment as (
                    insert into evergrant.environments (name, mode) values ('test', 'test') returning id)
                insert into evergrant.connections (environment_id, mode, integration, provider, identity_type, identity,
                    state, grant_id, refresh_due_at)
                select environment.id, 'test', 'gmail', 'google', 'user', 'user ' || n, 'active', gen_random_uuid(),
                    now() + n * interval '1 minute'
                from environment, generate_series(1, $1::int) n returning id
                """), [.int4(Int32(copies))])
        return try rows.last?.decode(Int64.self) ?? 0
    }

    func set(state: String, of id: Int64) async throws {
        try await execute(
            PostgresStatement("test_set_state", "update evergrant.connections set state = $2 where id = $1"),
            [.int8(id), .text(state)])
    }
}
