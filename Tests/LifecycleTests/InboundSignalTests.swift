import Catalog
import Credentials
import Foundation
import Lifecycle
import LifecycleSupport
import Postgres
import Store
import Testing
import Vault

/// Signals in the shapes in which the providers send them, signed as they sign.
@Suite(.timeLimit(.minutes(5))) struct `inbound signals` {
    static let secret = Secret("the-signing-secret")

    /// A provider of each scheme, with an app and a connection of the account `account`.
    struct Receiver: Sendable {
        let world: LifecycleWorld
        let services: LifecycleServices
        let connection: ConnectionRecord

        func receive(
            _ headers: [String: String], _ body: String, integration: String, environment: String = "test"
        ) async throws -> InboundSignals.Outcome {
            try await InboundSignals(services).receive(
                environment: environment, integration: integration, header: { headers[$0] }, body: Array(body.utf8))
        }

        /// What is noted of an uninstall.
        func uninstalled() async throws -> Date? {
            try await world.pool.execute(
                PostgresStatement(
                    "test_uninstalled", "select uninstalled_at from evergrant.connections where id = $1"),
                [.int8(connection.id)]
            ).map { try $0.decode(Date?.self) }.first ?? nil
        }

        /// Jobs that probe, in the lane of those someone waits for.
        func probes() async throws -> Int {
            let counts = try await world.pool.execute(
                PostgresStatement(
                    "test_probes", "select count(*) from evergrant.jobs_ready where priority = 1")
            ).map { try $0.decode(Int64.self) }
            return Int(counts.first ?? 0)
        }
    }

    static func with(
        _ integration: String, account: String, replies: [ScriptedProvider.Reply] = [],
        _ body: (Receiver) async throws -> Void
    ) async throws {
        try await LifecycleWorld.with { world in
            let catalog = try IntegrationCatalog(
                sources: try bundled(["slack", "github", "shopify", "pipedrive"]) + [
                    CatalogSource(
                        name: "more.yaml",
                        text: """
                            integrations:
                              shop: {title: Shop, provider: shopify, category: shop, account: {id: [probe.shop.id]}}
                              pipe: {title: Pipe, provider: pipedrive, category: crm, account: {id: [probe.data.id]}}
                              slack: {title: Slack, provider: slack, category: chat}
                              github: {title: GitHub, provider: github, category: dev, api_base: https://api.github.com, probe: {path: /user}}
                            """)
                ])
            let services = world.services(ScriptedProvider(replies), catalog: catalog)
            let provider = try #require(catalog.provider(of: try catalog.integration(named: integration)))
            let uid = "app_" + SecureRandom.hex()
            let client = try await world.vault.seal(
                secret, .clientSecret(environmentID: world.environmentID, appUID: uid, version: 1))
            let app = try await OAuthApps.insert(
                uid: uid, environmentID: world.environmentID, provider: provider.id, clientID: "client-1",
                sealedSecret: client, parameters: [:], in: world.pool)
            let sealed = try await world.vault.seal(
                secret, .signingSecret(environmentID: world.environmentID, appUID: uid, version: 1))
            #expect(try await SigningSecrets.set(appID: app.id, sealed: sealed, version: 1, in: world.pool))
            _ = try await IntegrationSettings.put(
                environmentID: world.environmentID, integration: integration, isEnabled: true, oauthAppID: app.id,
                scopes: nil, display: IntegrationDisplay(), in: world.pool)
            let connectionUID = UUID()
            let tokens = TokenSet(accessToken: Secret("the-access"), refreshToken: nil)
            let connection = try await Connections.insert(
                NewConnection(
                    uid: connectionUID, environmentID: world.environmentID, mode: .test, integration: integration,
                    provider: provider.id, oauthAppID: app.id, identity: Identity(type: .user, value: "u"),
                    grant: NewGrant(
                        schedule: GrantSchedule(accessIssuedAt: Date()), accountID: account, accountLabel: account)),
                sealed: try await world.vault.seal(
                    tokens.plaintext(),
                    .connectionTokens(environmentID: world.environmentID, uid: connectionUID, generation: 1)),
                in: world.pool)
            try await body(Receiver(world: world, services: services, connection: connection))
        }
    }

    /// The bundled providers of these names, without the integrations that stand beside them.
    private static func bundled(_ names: [String]) throws -> [CatalogSource] {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "Sources/Shared/Catalog/Resources/providers")
        return try names.map { name in
            CatalogSource(
                name: name, text: try String(contentsOf: folder.appending(path: name + ".yaml"), encoding: .utf8))
        }
    }

    static func slack(_ body: String, at: Date = Date(), secret: Secret = secret) -> [String: String] {
        let stamp = String(Int(at.timeIntervalSince1970))
        let mac = Digest.hmacSHA256(key: secret, Array("v0:\(stamp):\(body)".utf8))
        return ["x-slack-request-timestamp": stamp, "x-slack-signature": "v0=" + Encoding.hex(mac)]
    }

    static func github(_ body: String, event: String) -> [String: String] {
        [
            "x-github-event": event,
            "x-hub-signature-256": "sha256=" + Encoding.hex(Digest.hmacSHA256(key: secret, Array(body.utf8))),
        ]
    }

    static func event(_ event: String, at: Date = Date().addingTimeInterval(5), id: String = "Ev1") -> String {
        """
        {"token":"x","team_id":"T1","api_app_id":"A1","event":\(event),"type":"event_callback","event_id":"\(id)",\
        "event_time":\(Int(at.timeIntervalSince1970))}
        """
    }

    @Test func `Slack's proof of an address is answered when it is signed`() async throws {
        try await Self.with("slack", account: "T1") { receiver in
            let body = #"{"token":"x","challenge":"3eZbrw1aB","type":"url_verification"}"#
            let signed = try await receiver.receive(Self.slack(body), body, integration: "slack")
            #expect(signed == .challenge("3eZbrw1aB"))
            let outcome1 = try await receiver.receive([:], body, integration: "slack")
            #expect(outcome1 == .notFound)
        }
    }

    @Test func `an uninstalled Slack app is probed, and broken at once when the probe agrees`() async throws {
        let dead = ScriptedProvider.Reply(status: 401, body: #"{"message":"Bad credentials"}"#)
        try await Self.with("slack", account: "T1", replies: [dead]) { receiver in
            let body = Self.event(#"{"type":"app_uninstalled"}"#)
            let taken = try await receiver.receive(Self.slack(body), body, integration: "slack")
            #expect(taken == .taken(connections: 1))
            #expect(try await receiver.uninstalled() != nil)
            #expect(try await receiver.probes() == 1)
            #expect(try await receiver.world.row(receiver.connection).state == .active)
            // Probed by an integration that has a probe.
            try await receiver.world.pool.execute(
                PostgresStatement(
                    "test_as_github", "update evergrant.connections set integration = 'github' where id = $1"),
                [.int8(receiver.connection.id)])
            let validation = ConnectionValidation(
                receiver.services, refresher: CredentialRefresher(receiver.services))
            #expect(try await validation.validate(connectionID: receiver.connection.id) == .refused(.broken))
            let row = try await receiver.world.row(receiver.connection)
            #expect(row.state == .broken && row.reason == .revoked)
        }
    }

    @Test func `a grant that lives goes on, whatever a signal says`() async throws {
        try await Self.with("github", account: "42", replies: [ScriptedProvider.Reply(body: #"{"id":42}"#)]) {
            receiver in
            let body = #"{"action":"revoked","sender":{"id":42,"login":"octocat"}}"#
            let headers = Self.github(body, event: "github_app_authorization")
            let taken = try await receiver.receive(headers, body, integration: "github")
            #expect(taken == .taken(connections: 1))
            let validation = ConnectionValidation(
                receiver.services, refresher: CredentialRefresher(receiver.services))
            #expect(try await validation.validate(connectionID: receiver.connection.id) == .alive)
            #expect(try await receiver.uninstalled() == nil)
            #expect(try await receiver.world.row(receiver.connection).state == .active)
        }
    }

    @Test func `an uninstall from before this grant was made is a hint and no more`() async throws {
        try await Self.with("slack", account: "T1") { receiver in
            let body = Self.event(#"{"type":"app_uninstalled"}"#, at: Date().addingTimeInterval(-3600))
            let taken = try await receiver.receive(Self.slack(body), body, integration: "slack")
            #expect(taken == .taken(connections: 1))
            #expect(try await receiver.uninstalled() == nil)
        }
    }

    @Test(arguments: [
        (#"{"type":"tokens_revoked","tokens":{"oauth":["U9"],"bot":["UB"]}}"#, 1),
        (#"{"type":"tokens_revoked","tokens":{"oauth":["T1"]}}"#, 1),
        (#"{"type":"tokens_revoked","tokens":{"oauth":["U9"]}}"#, 0), (#"{"type":"message"}"#, 0),
    ])
    func `Slack's revoked tokens name users, or the workspace's bot`(event: String, count: Int) async throws {
        try await Self.with("slack", account: "T1") { receiver in
            let body = Self.event(event)
            let taken = try await receiver.receive(Self.slack(body), body, integration: "slack")
            #expect(taken == .taken(connections: count))
            #expect(try await receiver.uninstalled() == nil)
        }
    }

    @Test func `what is forged, old, unsigned or for nobody is not to be told apart`() async throws {
        try await Self.with("slack", account: "T1") { receiver in
            let body = Self.event(#"{"type":"app_uninstalled"}"#)
            let good = Self.slack(body)
            let cases: [(headers: [String: String], body: String, integration: String, environment: String)] = [
                (Self.slack(body, secret: Secret("another")), body, "slack", "test"),
                (good, body + " ", "slack", "test"),
                (Self.slack(body, at: Date().addingTimeInterval(-301)), body, "slack", "test"),
                (Self.slack(body, at: Date().addingTimeInterval(301)), body, "slack", "test"),
                ([:], body, "slack", "test"), (good, body, "slack", "nowhere"), (good, body, "github", "test"),
                (good, body, "no-such", "test"),
            ]
            for one in cases {
                let outcome = try await receiver.receive(
                    one.headers, one.body, integration: one.integration, environment: one.environment)
                #expect(outcome == .notFound, "\(one.integration) \(one.environment)")
            }
            #expect(try await receiver.probes() == 0)
            // And the same body, signed, is taken.
            let taken = try await receiver.receive(good, body, integration: "slack")
            #expect(taken == .taken(connections: 1))
        }
    }

    @Test func `a repeat does nothing, whenever it comes`() async throws {
        try await Self.with("github", account: "7") { receiver in
            let body = #"{"action":"deleted","installation":{"id":1,"account":{"id":7,"type":"Organization"}}}"#
            let headers = Self.github(body, event: "installation")
            let outcome2 = try await receiver.receive(headers, body, integration: "github")
            #expect(outcome2 == .taken(connections: 1))
            let outcome3 = try await receiver.receive(headers, body, integration: "github")
            #expect(outcome3 == .repeated)
            #expect(try await receiver.probes() == 1)
        }
    }

    @Test func `Shopify signs with the client secret, and its uninstall names the shop`() async throws {
        try await Self.with("shop", account: "548380009") { receiver in
            let at = Date().addingTimeInterval(60).formatted(.iso8601)
            let body =
                #"{"id":548380009,"name":"Super Toys","myshopify_domain":"toys.myshopify.com","updated_at":"\#(at)"}"#
            let mac = Encoding.base64(Digest.hmacSHA256(key: Self.secret, Array(body.utf8)))
            let headers = ["x-shopify-topic": "app/uninstalled", "x-shopify-hmac-sha256": mac]
            var other = headers
            other["x-shopify-hmac-sha256"] = Encoding.base64(Digest.hmacSHA256(key: Secret("no"), Array(body.utf8)))
            let outcome4 = try await receiver.receive(other, body, integration: "shop")
            #expect(outcome4 == .notFound)
            let outcome5 = try await receiver.receive(headers, body, integration: "shop")
            #expect(outcome5 == .taken(connections: 1))
            #expect(try await receiver.uninstalled() != nil)
        }
    }

    @Test func `Pipedrive's deletion proves itself with the client's credentials`() async throws {
        try await Self.with("pipe", account: "456") { receiver in
            func delete(_ pair: String, at: Date = Date().addingTimeInterval(5), user: Int = 456) async throws
                -> InboundSignals.Outcome
            {
                let body =
                    #"{"client_id":"client-1","company_id":123,"user_id":\#(user),"timestamp":"\#(at.formatted(.iso8601))"}"#
                return try await InboundSignals(receiver.services).receiveDeletion(
                    integration: "pipe", authorization: "Basic " + Encoding.base64(Array(pair.utf8)),
                    body: Array(body.utf8))
            }
            let outcome6 = try await delete("client-1:wrong")
            #expect(outcome6 == .notFound)
            let outcome7 = try await delete("client-2:the-signing-secret")
            #expect(outcome7 == .notFound)
            let outcome10 = try await delete("client-1:the-signing-secret", at: Date().addingTimeInterval(-90_000))
            #expect(outcome10 == .notFound)
            let outcome8 = try await delete("client-1:the-signing-secret", user: 9)
            #expect(outcome8 == .taken(connections: 0))
            let outcome9 = try await delete("client-1:the-signing-secret")
            #expect(outcome9 == .taken(connections: 1))
        }
    }

    @Test func `no signal touches a connection of another app`() async throws {
        try await Self.with("slack", account: "T1") { receiver in
            let other = try await OAuthApps.insert(
                uid: "app_" + SecureRandom.hex(), environmentID: receiver.world.environmentID, provider: "slack",
                clientID: "client-2", sealedSecret: nil, parameters: [:], in: receiver.world.pool)
            try await OAuthApps.adopt(
                connectionID: receiver.connection.id, app: other.id, in: receiver.world.pool)
            let body = Self.event(#"{"type":"app_uninstalled"}"#)
            let taken = try await receiver.receive(Self.slack(body), body, integration: "slack")
            #expect(taken == .taken(connections: 0))
        }
    }
}
