import Credentials
import Foundation
import Lifecycle
import LifecycleSupport
import Postgres
import Sandbox
import Store
import Testing

@Suite(.timeLimit(.minutes(5))) struct ClientSecretTests {
    private func app(_ connection: ConnectionRecord, _ world: LifecycleWorld) async throws -> OAuthAppRecord {
        let id = try #require(connection.oauthAppID)
        return try #require(try await OAuthApps.find(id: id, in: world.pool))
    }

    private func change(_ secret: String, at world: LifecycleWorld) {
        world.sandbox.state.register(client: "sandbox-client", secret: secret, redirectURIs: [])
    }

    @Test(arguments: ["replayable", "windowed", "strict", "strict-family", "strict-app"])
    func `a client secret is exchanged while its connections go on refreshing`(provider: String) async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect(provider)
            let rotation = ClientSecretRotation(world.services)
            let next = try await rotation.setNext(
                Secret("second-secret"), app: try await app(connection, world), actor: "test")
            #expect(next.other?.role == .next && next.other?.version == 2)
            // The provider still has the old one, then only the new one.
            #expect(try await world.refresh(connection) == .refreshed)
            change("second-secret", at: world)
            #expect(try await world.refresh(connection) == .refreshed)
            #expect(try await app(connection, world).workingVersion == 2)
            let promoted = try await rotation.promote(app: next, actor: "test")
            #expect(promoted.secretVersion == 2 && promoted.other?.role == .previous)
            #expect(try await world.refresh(connection) == .refreshed)
            let retired = try await rotation.retire(app: promoted, actor: "test")
            #expect(retired.other == nil)
            #expect(try await world.refresh(connection) == .refreshed)
            #expect(try await world.events(connection) == ["connection.created"])
            #expect(try await app(connection, world).suspendedAt == nil)
            #expect(world.sandbox.state.grants().map(\.replays) == [0])
        }
    }

    @Test func `once it is known which secret works, no refresh begins with the other`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("strict")
            _ = try await ClientSecretRotation(world.services).setNext(
                Secret("second-secret"), app: try await app(connection, world), actor: "test")
            change("second-secret", at: world)
            #expect(try await world.refresh(connection) == .refreshed)
            let before = world.sandbox.state.ledger(of: .strict).requests.count
            #expect(try await world.refresh(connection) == .refreshed)
            #expect(world.sandbox.state.ledger(of: .strict).requests.count == before + 1)
        }
    }

    @Test func `an app is suspended only when the provider refuses both of its secrets`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("strict")
            _ = try await ClientSecretRotation(world.services).setNext(
                Secret("second-secret"), app: try await app(connection, world), actor: "test")
            change("third-secret", at: world)
            _ = try await world.refresh(connection)
            #expect(try await world.row(connection).reason == .appFault)
            #expect(try await world.heldRefreshTokenIsAlive(connection))
        }
    }

    @Test func `the secret that the provider takes is not retired while it refuses the other`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("replayable")
            let rotation = ClientSecretRotation(world.services)
            let first = try await app(connection, world)
            let next = try await rotation.setNext(Secret("second-secret"), app: first, actor: "test")
            change("second-secret", at: world)
            #expect(try await world.refresh(connection) == .refreshed)
            let refusal = await #expect(throws: ClientSecretRotation.Refusal.self) {
                try await rotation.retire(app: next, actor: "test")
            }
            #expect(refusal?.code == .inUse)
            _ = try await rotation.promote(app: next, actor: "test")
            #expect(try await rotation.retire(app: next, actor: "test").other == nil)
            let promoting = await #expect(throws: ClientSecretRotation.Refusal.self) {
                try await rotation.promote(app: next, actor: "test")
            }
            #expect(promoting?.code == .noNext)
        }
    }

    @Test func `a deletion is revoked with whichever secret the provider takes`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("strict")
            _ = try await ClientSecretRotation(world.services).setNext(
                Secret("second-secret"), app: try await app(connection, world), actor: "test")
            change("second-secret", at: world)
            let revocation = ConnectionRevocation(world.services)
            _ = try await revocation.request(
                uid: connection.uid, environmentID: connection.environmentID, actor: "test")
            #expect(try await revocation.attempt(connectionID: connection.id) == nil)
            #expect(world.sandbox.state.grants().map(\.alive) == [false])
        }
    }

    @Test func `versions are never used twice, and each change is in the audit by its version`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("replayable")
            let rotation = ClientSecretRotation(world.services)
            let first = try await app(connection, world)
            _ = try await rotation.setNext(Secret("two"), app: first, actor: "test")
            _ = try await rotation.retire(app: first, actor: "test")
            let third = try await rotation.setNext(Secret("three"), app: first, actor: "test")
            #expect(third.other?.version == 3)
            let lines = try await world.pool.execute(
                PostgresStatement(
                    "test_audit",
                    """
                    select action || ' ' || (details ->> 'version') from evergrant.audit
                    where action like 'client_secret.%' order by id
                    """)
            ).map { try $0.decode(String.self) }
            #expect(lines == ["client_secret.next 2", "client_secret.retire 2", "client_secret.next 3"])
        }
    }
}
