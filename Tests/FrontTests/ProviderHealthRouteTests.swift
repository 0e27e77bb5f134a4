import Credentials
import Foundation
import Lifecycle
import Postgres
import Store
import Testing

/// Troubles of providers over HTTP.
@Suite struct ProviderHealthRouteTests {
    /// An OAuth app whose token endpoint does not answer.
    private func troubled(_ world: FrontWorld) async throws -> String {
        let uid = "app_" + String(repeating: "ab", count: 16)
        let app = try await OAuthApps.insert(
            uid: uid, environmentID: world.environment.id, provider: "sandbox-strict", clientID: "client",
            sealedSecret: nil, parameters: [:], in: world.pool)
        try await world.pool.execute(
            PostgresStatement(
                "test_trouble",
                """
                insert into evergrant.token_hosts (oauth_app_id, host, whole, breaker, tend_at, state) values ($1,
                    'auth.example', true, 'open', now() + interval '1 h',
                    '{"breaker": "open", "breakerSince": 800000000, "openedAt": 800000000, "lastTrouble": "503",
                      "lastTroubleAt": 800000000}')
                """), [.int8(app.id)])
        try await UnclassifiedAnswers.add(
            [
                UnclassifiedAnswer(
                    shape: "418 teapot", status: 418, code: "teapot", sample: "short of tea", requestID: nil, seen: 3)
            ], to: TokenHostKey(appID: app.id, host: "auth.example", isWhole: true), in: world.pool)
        return uid
    }

    @Test func `troubles are shown to the environment they concern, and released by its operator only`() async throws {
        try await FrontWorld.with { world in
            let app = try await troubled(world)
            let other = try #require(
                try await Environments.insert(name: "other", mode: .test, redirectOrigins: [], in: world.pool))
            let stranger = try await FrontWorld.newKey(.full, other, in: world.pool)
            let reader = try await FrontWorld.newKey(.read, world.environment, in: world.pool)

            let shown = try await world.call("GET", "/v1/provider-health")
            let endpoint = try #require((shown.json["data"] as? [[String: Any]])?.first, "\(shown.text)")
            #expect(endpoint["oauth_app"] as? String == app && endpoint["host"] as? String == "auth.example")
            #expect(endpoint["breaker"] as? String == "open" && endpoint["needs_attention"] as? Bool == true)
            let unknown = try await world.call("GET", "/v1/provider-health/unclassified")
            let answer = try #require((unknown.json["data"] as? [[String: Any]])?.first, "\(unknown.text)")
            #expect(answer["code"] as? String == "teapot" && answer["seen"] as? Int == 3)

            let body = #"{"oauth_app":"\#(app)"}"#
            for path in ["/v1/provider-health", "/v1/provider-health/unclassified"] {
                let seen = try await world.call("GET", path, key: stranger)
                #expect((seen.json["data"] as? [[String: Any]])?.isEmpty == true, "\(seen.text)")
            }
            let refused = try await world.call("POST", "/v1/provider-health/release", body, key: stranger)
            #expect(refused.status == 404)
            let forbidden = try await world.call("POST", "/v1/provider-health/release", body, key: reader)
            #expect(forbidden.status == 403)
            let wrong = try await world.call(
                "POST", "/v1/provider-health/release", #"{"oauth_app":"\#(app)","host":"elsewhere.example"}"#)
            #expect(wrong.status == 404)
            let released = try await world.call("POST", "/v1/provider-health/release", body)
            #expect(released.status == 200 && released.json["released"] as? Int == 1, "\(released.text)")
            let after = try await world.call("GET", "/v1/provider-health")
            let rested = try #require((after.json["data"] as? [[String: Any]])?.first)
            #expect(rested["breaker"] as? String == "closed" && rested["needs_attention"] as? Bool == false)
            let events = try await world.pool.execute(
                PostgresStatement("test_events", "select type from evergrant.events"), []
            ).map { try $0.decode(String.self) }
            #expect(events == ["provider.breaker_closed"])
        }
    }
}
