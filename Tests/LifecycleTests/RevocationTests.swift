import Credentials
import Foundation
import Lifecycle
import LifecycleSupport
import Postgres
import Sandbox
import Store
import Testing

@Suite struct RevocationTests {
    @Test(arguments: ["replayable", "until-used", "windowed", "strict", "strict-family"])
    func `a deletion revokes at the provider and destroys the secrets`(provider: String) async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect(provider)
            let revocation = ConnectionRevocation(world.services)
            let asked = try await revocation.request(
                uid: connection.uid, environmentID: connection.environmentID, actor: "test")
            #expect(asked?.state == .revoking)
            #expect(try await revocation.attempt(connectionID: connection.id) == nil)
            #expect(world.sandbox.state.grants().first?.alive == false)
            #expect(try await world.row(connection).state == .revoked)
            #expect(try await Validations.current(connectionID: connection.id, in: world.pool) == nil)
            #expect(
                try await world.events(connection)
                    == ["connection.created", "connection.deleted", "connection.revoked"])
        }
    }

    @Test func `a revocation is tried again until the provider has confirmed it`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("strict")
            try await world.fault("5xx_before", at: "strict", endpoint: "revoke", count: 2)
            let revocation = ConnectionRevocation(world.services)
            _ = try await revocation.request(
                uid: connection.uid, environmentID: connection.environmentID, actor: "test")
            #expect(try await revocation.attempt(connectionID: connection.id) != nil)
            #expect(try await revocation.attempt(connectionID: connection.id) != nil)
            #expect(world.sandbox.state.grants().first?.alive == true)
            #expect(try await revocation.attempt(connectionID: connection.id) == nil)
            #expect(world.sandbox.state.grants().first?.alive == false)
        }
    }

    @Test func `an answer that arrives while the connection is being revoked is revoked as well`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("strict")
            let gate = try await world.gate("strict", "after")
            async let first = world.refresh(connection)
            try await world.waitAtGate(gate)
            let revocation = ConnectionRevocation(world.services)
            _ = try await revocation.request(
                uid: connection.uid, environmentID: connection.environmentID, actor: "test")
            // The refresh holds the mark: the revocation waits.
            #expect(try await revocation.attempt(connectionID: connection.id) != nil)
            try await world.open(gate)
            _ = try await first
            #expect(try await world.row(connection).state == .revoking)
            try await world.age(connection, seconds: 60)
            _ = try await world.recover(connection)
            #expect(try await revocation.attempt(connectionID: connection.id) == nil)
            #expect(world.sandbox.state.grants().first?.alive == false)
            #expect(try await world.row(connection).state == .revoked)
        }
    }

    @Test func `a sibling on the same account is spared until it is the last`() async throws {
        try await LifecycleWorld.with { world in
            let first = try await world.connect("strict", account: "same@example.com", life: 3600, identity: "u1")
            let second = try await world.connect("strict", account: "same@example.com", life: 3600, identity: "u2")
            try await world.pool.execute(
                PostgresStatement(
                    "test_share_app", "update evergrant.connections set oauth_app_id = $1"),
                [.optional(first.oauthAppID) { .int8($0) }])
            let revocation = ConnectionRevocation(world.services)
            _ = try await revocation.request(uid: first.uid, environmentID: first.environmentID, actor: "test")
            #expect(try await revocation.attempt(connectionID: first.id) == nil)
            #expect(world.sandbox.state.grants().map(\.alive) == [true, true])
            _ = try await revocation.request(uid: second.uid, environmentID: second.environmentID, actor: "test")
            #expect(try await revocation.attempt(connectionID: second.id) == nil)
            #expect(world.sandbox.state.grants().map(\.alive).contains(false))
        }
    }
}
