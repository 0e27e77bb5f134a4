import Credentials
import Foundation
import Lifecycle
import LifecycleSupport
import Postgres
import Sandbox
import Store
import Testing

@Suite struct CredentialRefresherTests {
    @Test(arguments: ["replayable", "until-used", "windowed", "strict", "strict-family"])
    func `fifty callers on an ended token cause one refresh`(provider: String) async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect(provider)
            try await world.end(connection)
            // Three processes, as far as the fleet can tell.
            let refreshers = (0..<3).map { _ in CredentialRefresher(world.services) }
            let generations = try await withThrowingTaskGroup(of: Int64.self) { group in
                for caller in 0..<50 {
                    group.addTask {
                        try await refreshers[caller % 3].credential(
                            uid: connection.uid, environmentID: connection.environmentID
                        ).generation
                    }
                }
                return try await group.reduce(into: Set<Int64>()) { $0.insert($1) }
            }
            #expect(generations == [2])
            let grant = try #require(world.sandbox.state.grants().first)
            #expect(grant.refreshes == 1)
            #expect(grant.maximumInFlight == 1)
        }
    }

    @Test func `a token that still lives is given out while the provider is down`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("replayable", life: 100)
            try await world.nearEnd(connection, seconds: 5)
            try await world.fault("429", at: "replayable", count: 10)
            let refresher = CredentialRefresher(world.services)
            let given = try await refresher.credential(uid: connection.uid, environmentID: connection.environmentID)
            #expect(given.generation == 1)
        }
    }

    @Test func `an ended token while the provider is down is an error with a time`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("replayable")
            try await world.end(connection)
            try await world.fault("429", at: "replayable", count: 10)
            let refresher = CredentialRefresher(world.services)
            let error = await #expect(throws: CredentialError.self) {
                try await refresher.credential(uid: connection.uid, environmentID: connection.environmentID)
            }
            #expect(error?.code == .refreshFailed)
            #expect(error?.retryAfter != nil)
        }
    }

    @Test func `a rejected token is refreshed once, and a second rejection of the old one gets the new one`()
        async throws
    {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("strict")
            let refresher = CredentialRefresher(world.services)
            let used = try await refresher.credential(uid: connection.uid, environmentID: connection.environmentID)
            #expect(try await refresher.credential(afterRejectionOf: used)?.generation == 2)
            #expect(try await refresher.credential(afterRejectionOf: used)?.generation == 2)
            #expect(world.sandbox.state.grants().first?.refreshes == 1)
        }
    }

    @Test func `another environment's connection is unknown`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("strict")
            let error = await #expect(throws: CredentialError.self) {
                try await CredentialRefresher(world.services).credential(
                    uid: connection.uid, environmentID: connection.environmentID + 1)
            }
            #expect(error?.code == .unknownConnection)
        }
    }

    @Test func `a deleted connection is unusable at once`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("strict")
            _ = try await ConnectionRevocation(world.services).request(
                uid: connection.uid, environmentID: connection.environmentID, actor: "test")
            let error = await #expect(throws: CredentialError.self) {
                try await CredentialRefresher(world.services).credential(
                    uid: connection.uid, environmentID: connection.environmentID)
            }
            #expect(error?.code == .deleted)
        }
    }
}

extension LifecycleWorld {
    func end(_ connection: ConnectionRecord) async throws { try await nearEnd(connection, seconds: -1) }

    func nearEnd(_ connection: ConnectionRecord, seconds: Double) async throws {
        try await pool.execute(
            PostgresStatement(
                "test_end",
                """
                update evergrant.connections set access_expires_at = now() + make_interval(secs => $2) where id = $1
                """), [.int8(connection.id), .float8(seconds)])
    }
}
