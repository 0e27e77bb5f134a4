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

    @Test(arguments: 0..<3)
    func `whatever sessions do at once, legal or not, committed or not, each transition has one event`(seed: UInt64)
        async throws
    {
        struct Undo: Error {}
        struct Numbers: RandomNumberGenerator {
            var state: UInt64
            mutating func next() -> UInt64 {
                // Vigna's SplitMix64.
                state &+= 0x9E37_79B9_7F4A_7C15
                var z = state
                z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
                z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
                return z ^ (z >> 31)
            }
        }
        let states = ["pending", "active", "degraded", "suspected", "broken", "revoking", "revoked", "lost"]
        try await withMigratedDatabase { database in
            let pool = database.pool()
            let last = try await pool.makeConnection(copies: 3)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for session in 0..<4 {
                    group.addTask {
                        var numbers = Numbers(state: seed &* 100 &+ UInt64(session))
                        for _ in 0..<60 {
                            let id = last - Int64.random(in: 0..<3, using: &numbers)
                            let steps = (0..<Int.random(in: 1...3, using: &numbers)).map { _ in
                                states.randomElement(using: &numbers) ?? "active"
                            }
                            let undoes = Int.random(in: 0..<4, using: &numbers) == 0
                            let rewrites = Int.random(in: 0..<4, using: &numbers) == 0
                            // A state that is not known ends the transaction, as it ends an app's.
                            try? await pool.transaction { transaction in
                                for state in steps { try await transaction.set(state: state, of: id) }
                                if rewrites {
                                    // Nobody may set the version: the trigger counts.
                                    try await transaction.execute(
                                        PostgresStatement(
                                            "test_rewrite",
                                            """
                                            update evergrant.connections set version = version + 7,
                                                state = case state when 'active' then 'broken' else 'active' end
                                            where id = $1
                                            """), [.int8(id)])
                                }
                                if undoes { throw Undo() }
                            }
                        }
                    }
                }
                try await group.waitForAll()
            }
            let rows = try await pool.execute(
                PostgresStatement(
                    "test_histories",
                    """
                    select c.id, c.version, c.state, e.connection_version, e.type, e.payload ->> 'previous_state',
                        e.payload -> 'connection' ->> 'state', (e.payload -> 'connection' ->> 'version')::bigint
                    from evergrant.connections c join evergrant.events e on e.connection_id = c.id
                    order by c.id, e.id
                    """)
            ).map {
                try $0.decode(
                    Int64.self, Int64.self, String.self, Int64.self, String.self, String?.self, String.self, Int64.self)
            }
            for (_, history) in Dictionary(grouping: rows, by: \.0) {
                let version = try #require(history.first).1
                #expect(history.map(\.3) == Array(1...version))
                #expect(history.map(\.7) == Array(1...version))
                #expect(history.last?.6 == history.first?.2)
                for (before, after) in zip(history, history.dropFirst()) {
                    #expect(after.5 == before.6 && after.5 != after.6)
                }
            }
            #expect(Set(rows.map(\.0)).count == 3 && rows.count > 30)
        }
    }

    @Test func `an attempt that ends without a new token set, or is taken over, is in the audit`() async throws {
        try await withMigratedDatabase { database in
            let pool = database.pool()
            let id = try await pool.makeConnection()
            func update(_ what: String) async throws {
                try await pool.execute(
                    PostgresStatement(
                        "test_\(abs(what.hashValue))", "update evergrant.connections set \(what) where id = $1"),
                    [.int8(id)])
            }
            func mark(_ owner: String, _ kind: String) async throws {
                try await update(
                    """
                    attempt_nonce = gen_random_uuid(), attempt_owner = '\(owner)', attempt_kind = '\(kind)',
                        attempt_started_at = now(), attempt_deadline = now()
                    """)
            }
            try await mark("worker:1", "refresh")
            try await mark("worker:2", "refresh")
            try await update("attempt_nonce = null, state = 'degraded', reason = 'provider_trouble'")
            // A success moves the generation, and its commit writes the row.
            try await mark("worker:3", "refresh")
            try await update("attempt_nonce = null, state = 'active', reason = null, generation = generation + 1")
            let connection = try await pool.execute(
                PostgresStatement("test_environment", "select environment_id from evergrant.connections where id = $1"),
                [.int8(id)])
            let environmentID = try #require(connection.first).decode(Int64.self)
            let rows = try await Audit.list(environmentID: environmentID, in: pool)
            #expect(rows.map(\.actor) == ["worker:2", "worker:1"] && rows.allSatisfy { $0.action == "refresh" })
            let details = rows.map { String(decoding: $0.details ?? [], as: UTF8.self) }
            #expect(details[0].contains("failed") && details[0].contains("provider_trouble"))
            #expect(details[1].contains("taken_over"))
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
