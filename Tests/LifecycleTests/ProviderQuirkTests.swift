import Catalog
import Credentials
import Egress
import Foundation
import Lifecycle
import LifecycleSupport
import Postgres
import Store
import Testing
import Vault

@Suite(.timeLimit(.minutes(5))) struct `quirks of providers in an attempt` {
    typealias Reply = ScriptedProvider.Reply

    @Test func `a refresh token in a refusal is kept, and presented when ours is refused`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("strict")
            let script = ScriptedProvider([
                Reply(
                    status: 400,
                    body: #"{"error":"temporarily_unavailable","refresh_token":"came-with-the-refusal"}"#),
                Reply(status: 400, body: #"{"error":"invalid_grant"}"#),
                Reply(body: #"{"access_token":"a2","refresh_token":"r2","expires_in":3600}"#),
            ])
            let attempts = RefreshAttempts(world.services(script))
            guard case .trouble = try await attempts.refresh(connectionID: connection.id, generation: nil) else {
                Issue.record("the first answer is trouble")
                return
            }
            let kept = try await Alternates.unpresented(
                connectionID: connection.id, grantID: connection.grantID, in: world.pool)
            #expect(kept.count == 1)
            #expect(try await attempts.refresh(connectionID: connection.id, generation: nil) == .refreshed)
            #expect(script.requests.count == 3)
            guard case .bytes(let body)? = script.requests.last?.body else {
                Issue.record("the last request has a body")
                return
            }
            #expect(String(decoding: body, as: UTF8.self).contains("refresh_token=came-with-the-refusal"))
            #expect(try await world.row(connection).state == .active)
        }
    }

    @Test func `a provider that refuses early refreshes is not asked early, and no failure is counted`() async throws {
        try await LifecycleWorld.with { world in
            let connection = try await world.connect("strict", life: 600)
            let script = ScriptedProvider([Reply(body: #"{"access_token":"a2","refresh_token":"r2"}"#)])
            let services = world.services(script, catalog: try Self.early(world.base))
            guard
                case .trouble(_, let wait) = try await RefreshAttempts(services).refresh(
                    connectionID: connection.id, generation: nil)
            else {
                Issue.record("nothing is sent")
                return
            }
            #expect(script.requests.isEmpty)
            #expect((.seconds(500)...(.seconds(570))).contains(wait))
            let row = try await world.row(connection)
            #expect(row.state == .active && row.failures == 0 && row.attemptNonce == nil)
            let due = try #require(row.refreshDueAt).timeIntervalSince(try #require(row.accessIssuedAt))
            #expect((568...600).contains(due))
            // Who needs a credential gets the one that is still good.
            let credential = try await CredentialRefresher(services).credential(
                uid: connection.uid, environmentID: connection.environmentID)
            #expect(credential.generation == 1)
            #expect(try await world.events(connection) == ["connection.created"])
        }
    }

    @Test(arguments: [0.0, 0.3, 0.99])
    func `a due time moves behind the moment of refusal and stays before the end`(part: Double) {
        let issued = Date(timeIntervalSince1970: 1_767_225_600)
        var schedule = GrantSchedule(
            accessIssuedAt: issued, accessExpiresAt: issued.addingTimeInterval(600),
            refreshDueAt: issued.addingTimeInterval(560 * part))
        schedule.wait(.seconds(570))
        let due = schedule.refreshDueAt?.timeIntervalSince(issued) ?? 0
        #expect((570...600).contains(due))
        var other = schedule
        other.wait(nil)
        #expect(other == schedule)
    }

    @Test func `a token of monday's older kind is traded when the API refuses it`() async throws {
        try await LifecycleWorld.with { world in
            let uid = UUID()
            let appUID = "app_" + SecureRandom.hex()
            let app = try await OAuthApps.insert(
                uid: appUID, environmentID: world.environmentID, provider: "monday", clientID: "client-1",
                sealedSecret: nil, parameters: [:], in: world.pool)
            let tokens = TokenSet(accessToken: Secret("legacy"), refreshToken: nil)
            let connection = try await Connections.insert(
                NewConnection(
                    uid: uid, environmentID: world.environmentID, mode: .test, integration: "monday",
                    provider: "monday", oauthAppID: app.id, identity: Identity(type: .user, value: "u"),
                    grant: NewGrant(
                        schedule: GrantSchedule(accessIssuedAt: Date()), accountID: "7", accountLabel: "7")),
                sealed: try await world.vault.seal(
                    tokens.plaintext(),
                    .connectionTokens(environmentID: world.environmentID, uid: uid, generation: 1)),
                in: world.pool)
            let script = ScriptedProvider([
                Reply(status: 401, body: #"{"errors":["Not Authenticated"]}"#),
                Reply(body: #"{"access_token":"a2","refresh_token":"r2","expires_in":3600}"#),
                Reply(body: #"{"data":{"me":{"id":7}}}"#),
            ])
            let services = world.services(script)
            let validation = ConnectionValidation(services, refresher: CredentialRefresher(services))
            #expect(try await validation.validate(connectionID: connection.id) == .alive)
            #expect(
                script.requests.map(\.url) == [
                    "https://api.monday.com/v2", "https://auth.monday.com/oauth_ms/oauth/migrate",
                    "https://api.monday.com/v2",
                ])
            let row = try await world.row(connection)
            #expect(row.generation == 2 && row.state == .active && row.refreshDueAt != nil)
        }
    }

    /// The sandbox's strict class as a provider that refuses early refreshes, as Exact Online does.
    private static func early(_ base: String) throws -> IntegrationCatalog {
        let text = """
            sandbox: true
            allow_http: true
            providers:
              sandbox-strict:
                authorization_url: \(base)/strict/authorize
                token_url: \(base)/strict/token
                refresh: {not_before_seconds: 570}
            integrations:
              sandbox-strict: {title: Early, provider: sandbox-strict, category: test}
            """
        return try IntegrationCatalog(sources: [CatalogSource(name: "early.yaml", text: text)])
    }
}
