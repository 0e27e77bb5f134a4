import Catalog
import Credentials
import Foundation
import Lifecycle
import LifecycleSupport
import Postgres
import Store
import Testing
import Vault

@Suite(.timeLimit(.minutes(5))) struct `validation of connections` {
    typealias Reply = ScriptedProvider.Reply

    /// A connection of the catalog's GitHub, whose probe tells scopes in a header.
    private func github(
        _ world: LifecycleWorld, scopes: [String], missing: [String] = []
    ) async throws -> ConnectionRecord {
        let uid = UUID()
        let tokens = TokenSet(accessToken: Secret("gho_1"), refreshToken: nil)
        let sealed = try await world.vault.seal(
            tokens.plaintext(),
            .connectionTokens(environmentID: world.environmentID, uid: uid, generation: 1))
        var schedule = GrantSchedule(accessIssuedAt: Date())
        schedule.grantedScopes = scopes
        schedule.missingScopes = missing
        return try await Connections.insert(
            NewConnection(
                uid: uid, environmentID: world.environmentID, mode: .test, integration: "github", provider: "github",
                oauthAppID: nil, identity: Identity(type: .user, value: "u"),
                grant: NewGrant(schedule: schedule, accountID: "42", accountLabel: "octocat")),
            sealed: sealed, in: world.pool)
    }

    private func validation(_ world: LifecycleWorld, _ replies: [Reply]) -> ConnectionValidation {
        let services = world.services(ScriptedProvider(replies))
        return ConnectionValidation(services, refresher: CredentialRefresher(services))
    }

    private func scopes(_ world: LifecycleWorld, _ connection: ConnectionRecord) async throws -> (
        granted: [String]?, missing: [String]
    ) {
        let row = try #require(
            try await world.pool.execute(
                PostgresStatement(
                    "test_scopes", "select granted_scopes, missing_scopes from evergrant.connections where id = $1"),
                [.int8(connection.id)]
            ).first)
        return try row.decode([String]?.self, [String].self)
    }

    private func dueIn(_ world: LifecycleWorld, _ connection: ConnectionRecord) async throws -> Double? {
        let rows = try await world.pool.execute(
            PostgresStatement(
                "test_due",
                "select extract(epoch from validate_due_at - now())::float8 from evergrant.connections where id = $1"),
            [.int8(connection.id)])
        return try rows.map { try $0.decode(Double?.self) }.first ?? nil
    }

    @Test func `a probe that tells scopes records a shortfall, and clears it when they are granted again`() async throws
    {
        try await LifecycleWorld.with { world in
            let connection = try await github(world, scopes: ["read:user"], missing: ["repo"])
            #expect(try await scopes(world, connection) == (["read:user"], ["repo"]))
            func probe(_ granted: String) async throws {
                let found = try await validation(
                    world, [Reply(body: #"{"id":42}"#, headers: ["X-OAuth-Scopes": granted])]
                ).validate(connectionID: connection.id)
                #expect(found == .alive)
            }
            try await probe("read:user, repo")
            #expect(try await scopes(world, connection) == (["read:user", "repo"], []))
            // Taken away: what the grant once had counts as missing.
            try await probe("repo")
            #expect(try await scopes(world, connection) == (["repo"], ["read:user"]))
            // A fine-grained token sends the header empty: that tells nothing.
            try await probe("")
            #expect(try await scopes(world, connection) == (["repo"], ["read:user"]))
            #expect(try await world.row(connection).version == 1)
        }
    }

    @Test func `a refresh that tells fewer scopes records the shortfall`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("replayable")
            try await world.pool.execute(
                PostgresStatement(
                    "test_grant_scopes",
                    "update evergrant.connections set granted_scopes = '{a,b}', wanted_scopes = '{a,b}' where id = $1"),
                [.int8(connection.id)])
            let script = ScriptedProvider([Reply(body: #"{"access_token":"a2","scope":"b"}"#)])
            #expect(
                try await RefreshAttempts(world.services(script)).refresh(
                    connectionID: connection.id, generation: nil) == .refreshed)
            #expect(try await scopes(world, connection) == (["b"], ["a"]))
        }
    }

    @Test func `a dead credential is suspected, and broken when the second probe agrees`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await github(world, scopes: [])
            let probe = validation(world, [Reply(status: 401, body: #"{"message":"Bad credentials"}"#)])
            #expect(try await probe.validate(connectionID: connection.id) == .refused(.suspected))
            #expect(try await probe.validate(connectionID: connection.id) == .refused(.broken))
            #expect(
                try await world.events(connection) == [
                    "connection.created", "connection.suspected", "connection.broken",
                ])
        }
    }

    @Test func `a person in the way degrades with that reason, and a later probe heals it`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await github(world, scopes: [])
            try await world.pool.execute(
                PostgresStatement(
                    "test_as_xero", "update evergrant.connections set integration = 'xero' where id = $1"),
                [.int8(connection.id)])
            let probe = validation(
                world, [Reply(status: 403, body: #"{"Title":"AuthenticationUnsuccessful"}"#), Reply(body: "[]")])
            #expect(try await probe.validate(connectionID: connection.id) == .trouble)
            let row = try await world.row(connection)
            #expect(row.state == .degraded && row.reason == .needsUser)
            #expect(try await probe.validate(connectionID: connection.id) == .alive)
            #expect(try await world.row(connection).state == .active)
        }
    }

    @Test func `trouble with the API holds back no refresh`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("strict")
            let probe = validation(world, [Reply(status: 503, body: "")])
            #expect(try await probe.validate(connectionID: connection.id) == .trouble)
            let row = try await world.row(connection)
            #expect(row.state == .degraded && row.reason == .providerTrouble && row.nextAttemptAt == nil)
            #expect(try await world.refresh(connection) == .refreshed)
            #expect(try await world.row(connection).state == .active)
        }
    }

    @Test func `the operator's interval outranks the installation's, from the first probe on`() async throws {
        try await LifecycleWorld.with { world in
            _ = try await IntegrationSettings.put(
                environmentID: world.environmentID, integration: "github", isEnabled: true, oauthAppID: nil,
                scopes: nil, display: IntegrationDisplay(), in: world.pool)
            let before = try await github(world, scopes: [])
            try await Validations.setInterval(
                environmentID: world.environmentID, integration: "github", every: .seconds(600),
                standard: .seconds(86_400), in: world.pool)
            let respread = try #require(try await dueIn(world, before))
            #expect((0...600).contains(respread))
            let connection = try await github(world, scopes: [])
            let first = try #require(try await dueIn(world, connection))
            #expect((290...600).contains(first))
            let probe = validation(world, [Reply(body: #"{"id":42}"#)])
            #expect(try await probe.validate(connectionID: connection.id) == .alive)
            let next = try #require(try await dueIn(world, connection))
            #expect((590...600).contains(next))
            try await Validations.setInterval(
                environmentID: world.environmentID, integration: "github", every: .zero, standard: .seconds(86_400),
                in: world.pool)
            #expect(try await dueIn(world, connection) == nil)
            #expect(try await probe.validate(connectionID: connection.id) == .alive)
            #expect(try await dueIn(world, connection) == nil)
        }
    }

    @Test func `a refused call asks for one probe in a while, and changes no state`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await github(world, scopes: [])
            func ask() async throws {
                try await Validations.hasten(connectionID: connection.id, gap: .seconds(60), in: world.pool)
            }
            try await ask()
            let due = try #require(try await dueIn(world, connection))
            #expect(due <= 0)
            // The planner claims it; a second refusal in the same minute asks in vain.
            _ = try await Validations.claimDue(limit: 10, claim: .seconds(900), in: world.pool)
            try await ask()
            let later = try #require(try await dueIn(world, connection))
            #expect(later > 800)
            #expect(try await world.row(connection).state == .active)
        }
    }
}
