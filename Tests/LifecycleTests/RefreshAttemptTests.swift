import Credentials
import Foundation
import Lifecycle
import LifecycleSupport
import Postgres
import Sandbox
import Store
import Testing

@Suite struct RefreshAttemptTests {
    static let classes = ["replayable", "until-used", "windowed", "strict", "strict-family", "strict-app"]

    @Test(arguments: classes)
    func `a refresh brings a new generation whose token is alive`(provider: String) async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect(provider)
            #expect(try await world.refresh(connection) == .refreshed)
            #expect(try await world.refresh(connection) == .refreshed)
            let row = try await world.row(connection)
            #expect(row.generation == 3)
            #expect(row.state == .active)
            #expect(row.attemptNonce == nil)
            #expect(try await world.heldRefreshTokenIsAlive(connection))
            #expect(try await world.events(connection) == ["connection.created"])
        }
    }

    @Test func `a refresh is due between 70 and 90 percent of the access token's life`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("strict", life: 1000)
            let issued = try #require(connection.accessIssuedAt)
            let due = try #require(connection.refreshDueAt).timeIntervalSince(issued)
            #expect((690...910).contains(due))
        }
    }

    @Test func `a job of an older generation does nothing`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("strict")
            let attempts = RefreshAttempts(world.services)
            #expect(try await attempts.refresh(connectionID: connection.id, generation: 1) == .refreshed)
            #expect(try await attempts.refresh(connectionID: connection.id, generation: 1) == .notMarked)
            #expect(world.sandbox.state.grants().first?.refreshes == 1)
        }
    }

    @Test(arguments: classes)
    func `a revocation is tested again before the connection is broken, and told once`(provider: String) async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect(provider)
            world.sandbox.state.revoke(account: "user@example.com")
            #expect(try await world.refresh(connection) == .refused(.suspected, .refused))
            #expect(try await world.refresh(connection) == .refused(.broken, .refused))
            #expect(try await world.refresh(connection) == .notMarked)
            #expect(
                try await world.events(connection)
                    == ["connection.created", "connection.suspected", "connection.broken"])
            #expect(try await world.row(connection).refreshDueAt == nil)
        }
    }

    @Test func `a suspected connection is left alone until its re-test is due, whoever asks`() async throws {
        var timings = LifecycleWorld.timings
        timings.confirmAfter = .seconds(3600)
        try await LifecycleWorld.with(timings: timings) { world in
            let connection = try await world.connect("strict")
            let refresher = CredentialRefresher(world.services)
            let used = try await refresher.credential(uid: connection.uid, environmentID: connection.environmentID)
            world.sandbox.state.revoke(account: "user@example.com")
            #expect(try await world.refresh(connection) == .refused(.suspected, .refused))
            #expect(try await world.refresh(connection) == .notMarked)
            let newer = try await refresher.credential(afterRejectionOf: used)
            #expect(newer?.generation == nil)
            await #expect(throws: CredentialError.self) {
                try await refresher.refreshNow(uid: connection.uid, environmentID: connection.environmentID)
            }
            #expect(try await world.row(connection).state == .suspected)
        }
    }

    @Test(arguments: classes)
    func `one false refusal breaks nothing`(provider: String) async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect(provider)
            try await world.fault("invalid_grant", at: provider)
            #expect(try await world.refresh(connection) == .refused(.suspected, .refused))
            #expect(try await world.refresh(connection) == .refreshed)
            #expect(try await world.row(connection).state == .active)
            #expect(
                try await world.events(connection)
                    == ["connection.created", "connection.suspected", "connection.restored"])
        }
    }

    @Test(arguments: ["429", "closed", "5xx_before"], classes)
    func `trouble at the provider breaks nothing and is over with the next success`(
        fault: String, provider: String
    ) async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect(provider)
            try await world.fault(fault, at: provider)
            _ = try await world.refresh(connection)
            var row = try await world.row(connection)
            #expect(row.state == .degraded)
            #expect(row.reason == .providerTrouble)
            if row.attemptNonce != nil {
                // The answer is unknown. The access token has ended, and nobody has delivered.
                try await world.age(connection, seconds: 7200)
                if provider == "strict-app" {
                    // One more presentation would endanger the operator's integration: better one grant.
                    #expect(try await world.recover(connection) == .refused(.broken, .rotationLost))
                    return
                }
                #expect(try await world.recover(connection) == .refreshed)
            } else {
                #expect(try await world.refresh(connection) == .refreshed)
            }
            row = try await world.row(connection)
            #expect(row.state == .active)
            #expect(try await world.heldRefreshTokenIsAlive(connection))
        }
    }

    @Test func `a provider's Retry-After is obeyed`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("replayable")
            try await world.fault("429", at: "replayable", more: #","retry_after":"120""#)
            #expect(try await world.refresh(connection) == .trouble(.providerTrouble, retryIn: .seconds(120)))
            let next = try #require(try await world.row(connection).nextAttemptAt)
            #expect((100...121).contains(next.timeIntervalSinceNow))
        }
    }

    @Test func `an answer that nobody knows counts as trouble, not as a refusal`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("strict")
            try await world.fault(
                "custom", at: "strict", count: 3,
                more: #","status":418,"headers":{"content-type":"application/json"},"body":"{\"error\":\"teapot\"}""#)
            for _ in 0..<3 { _ = try await world.refresh(connection) }
            let row = try await world.row(connection)
            #expect(row.state == .degraded)
            #expect(row.reason == .unclassified)
        }
    }

    @Test func `a credential that does not open is our trouble and leaves the state alone`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("strict")
            try await world.pool.execute(
                PostgresStatement("test_damage", "update evergrant.credentials set sealed = sealed || '\\x00'"), [])
            guard case .trouble(.ourTrouble, _) = try await world.refresh(connection) else {
                Issue.record("expected our trouble")
                return
            }
            #expect(world.sandbox.state.grants().first?.refreshes == 0)
            #expect(try await world.row(connection).state == .degraded)
        }
    }
}

extension LifecycleWorld {
    func operatorEvents() async throws -> [String] {
        try await pool.execute(
            PostgresStatement(
                "test_operator_events", "select type from evergrant.events where connection_id is null order by id"), []
        ).map { try $0.decode(String.self) }
    }
}
