import Credentials
import Foundation
import Lifecycle
import LifecycleSupport
import Postgres
import Sandbox
import Store
import Testing
import Vault

@Suite(.timeLimit(.minutes(5))) struct IdentityErasureTests {
    private let identity = "erin-4711@example.com"

    private func run(_ sql: String, _ world: LifecycleWorld) async throws {
        try await world.pool.execute(PostgresStatement("test_run", sql))
    }

    /// Everything that can stand in the database about one identity.
    private func fill(_ world: LifecycleWorld) async throws -> [ConnectionRecord] {
        let one = try await world.connect("strict", account: "acct-4711@mail", life: 3600, identity: identity)
        let two = try await world.connect("windowed", account: "acct-4711@mail", life: 3600, identity: identity)
        _ = try await Connections.patch(
            id: one.id, name: "name-4711", tags: ["tag-4711"], metadata: Array(#"{"note":"meta-4711"}"#.utf8),
            in: world.pool)
        // Two transitions write the whole document into events.
        try await run("update evergrant.connections set state = 'degraded'", world)
        try await run("update evergrant.connections set state = 'active'", world)
        try await run(
            """
            insert into evergrant.webhook_endpoints (environment_id, name, url, secret)
            values (\(world.environmentID), 'app', 'https://app.example.com', '\\x00')
            """, world)
        try await run(
            """
            insert into evergrant.deliveries (environment_id, event_id, endpoint_id, last_error, log)
            select v.environment_id, v.id, e.id, 'said \(identity)', '[{"error":"\(identity)"}]'
            from evergrant.events v, evergrant.webhook_endpoints e
            """, world)
        try await run(
            """
            insert into evergrant.events (environment_id, type, payload) values (\(world.environmentID),
                'connection.reconnect_requested', '{"identity": "\(identity)", "identity_type": "user"}')
            """, world)
        try await run(
            """
            insert into evergrant.connect_sessions (environment_id, kind, token_hash, identity_type, identity, name,
                require_finish, created_by, expires_at)
            values (\(world.environmentID), 'link', '\\x01', 'user', '\(identity)', 'name-4711', false, 'cli',
                now() + interval '1 hour')
            """, world)
        try await run(
            """
            insert into evergrant.idempotency_keys (environment_id, key, request_hash, status, answer, expires_at)
            values (\(world.environmentID), 'make-\(identity)', '\\x02', 201, '\\x03', now() + interval '1 day'),
                (\(world.environmentID), 'other', '\\x02', 201, '\\x03', now() + interval '1 day')
            """, world)
        try await run(
            """
            insert into evergrant.external_ids (environment_id, external_id, connection_id)
            values (\(world.environmentID), 'external-4711', \(one.id))
            """, world)
        return [one, two]
    }

    private func traces(_ world: LifecycleWorld) throws -> [String] {
        let dump = try world.dump()
        let words = ["4711"] + ["4711", identity].map { Encoding.hex(Array($0.utf8)) }
        return dump.split(separator: "\n").filter { line in words.contains { line.contains($0) } }.map(String.init)
    }

    @Test func `after an erasure a dump of the database holds nothing of the identity`() async throws {
        try await LifecycleWorld.with { world in
            let connections = try await fill(world)
            let bystander = try await world.connect("strict", account: "bob", life: 3600, identity: "bob")
            #expect(try traces(world).count > 8)
            let erasing = IdentityErasure(world.services)
            let erasure = try await erasing.request(
                Identity(type: .user, value: identity), environmentID: world.environmentID, actor: "test")
            #expect(erasure.connections == 2 && erasure.erasedAt == nil)
            // Unusable at once.
            for connection in connections {
                #expect(try await world.row(connection).state == .revoking)
                await #expect(throws: CredentialError.self) {
                    try await CredentialRefresher(world.services).credential(
                        uid: connection.uid, environmentID: world.environmentID)
                }
            }
            // Not before every revocation is proven.
            let revocation = ConnectionRevocation(world.services)
            #expect(try await revocation.attempt(connectionID: connections[0].id) == nil)
            #expect(try await erasing.finish() == false)
            #expect(try await world.row(connections[1]).identity.value == identity)
            #expect(try await revocation.attempt(connectionID: connections[1].id) == nil)
            #expect(try await erasing.finish() == false)
            let left = try traces(world)
            #expect(left.isEmpty, "\(left)")
            let done = try await Erasures.find(uid: erasure.uid, environmentID: world.environmentID, in: world.pool)
            #expect(done?.erasedAt != nil)
            // Others keep all of theirs.
            let kept = try await world.row(bystander)
            #expect(kept.state == .active && kept.identity.value == "bob" && kept.accountID == "bob")
            #expect(world.sandbox.state.grants().filter(\.alive).map(\.account) == ["bob"])
        }
    }

    @Test func `patience with a provider that never confirms ends, and then secrets and traces are gone as well`()
        async throws
    {
        var timings = LifecycleWorld.timings
        timings.revocationPatience = .milliseconds(1)
        try await LifecycleWorld.with(timings: timings) { world in
            let connections = try await fill(world)
            for provider in ["strict", "windowed"] {
                try await world.fault("5xx_before", at: provider, endpoint: "revoke", count: 100)
            }
            let erasing = IdentityErasure(world.services)
            _ = try await erasing.request(
                Identity(type: .user, value: identity), environmentID: world.environmentID, actor: "test")
            for connection in connections {
                #expect(try await ConnectionRevocation(world.services).attempt(connectionID: connection.id) == nil)
                #expect(try await Validations.current(connectionID: connection.id, in: world.pool) == nil)
            }
            _ = try await erasing.finish()
            let left = try traces(world)
            #expect(left.isEmpty, "\(left)")
        }
    }

    @Test func `asking twice, or for somebody who was never here, is no error`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("strict", account: "a", life: 3600, identity: identity)
            let erasing = IdentityErasure(world.services)
            let owner = try Identity(type: .user, value: identity)
            for _ in 0..<2 {
                let erasure = try await erasing.request(owner, environmentID: world.environmentID, actor: "test")
                #expect(erasure.connections == 1)
            }
            #expect(try await ConnectionRevocation(world.services).attempt(connectionID: connection.id) == nil)
            _ = try await erasing.finish()
            let nobody = try await erasing.request(
                Identity(type: .team, value: "nobody"), environmentID: world.environmentID, actor: "test")
            #expect(nobody.connections == 0)
            _ = try await erasing.finish()
            let waiting = try await world.pool.execute(
                PostgresStatement("waiting", "select count(*) from evergrant.erasures where erased_at is null")
            ).first?.decode(Int64.self)
            #expect(waiting == 0)
            // The same name of another type is another owner.
            #expect(try await world.events(connection).last == "connection.revoked")
        }
    }
}
