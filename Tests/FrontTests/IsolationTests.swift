import Credentials
import Egress
import Foundation
import Postgres
import Sandbox
import Store
import Testing

/// Nothing crosses from one environment to another, by any call.
@Suite struct IsolationTests {
    @Test func `another environment's key sees and changes nothing`() async throws {
        try await FrontWorld.with { world in
            _ = try await world.call(
                "PUT", "/v1/webhook-endpoints/mine", #"{"url":"https://hooks.example.com/x"}"#)
            let key = try await world.connectedByKey("placed-header")
            let id = try #require(try await world.call("GET", "/v1/connections").rows.first?["id"] as? String)
            let session = try await world.session("placed-header")
            let keyID = try #require(try await world.call("GET", "/v1/api-keys").rows.first?["id"] as? String)

            let environment = try #require(
                try await Environments.insert(name: "other", mode: .test, redirectOrigins: [], in: world.pool))
            let other = try await FrontWorld.newKey(.full, environment, in: world.pool)
            for path in ["/v1/connections", "/v1/webhook-endpoints", "/v1/events", "/v1/jobs", "/v1/queues"] {
                let list = try await world.call("GET", path, key: other)
                #expect(list.status == 200 && list.rows.isEmpty, "\(path): \(list.text)")
            }
            #expect(try await world.call("GET", "/v1/api-keys", key: other).rows.count == 1)
            #expect(try await world.call("GET", "/v1/environments", key: other).rows.count == 1)
            let calls: [(String, String, String?)] = [
                ("GET", "/v1/connections/\(id)", nil), ("PATCH", "/v1/connections/\(id)", #"{"name":"x"}"#),
                ("DELETE", "/v1/connections/\(id)", nil), ("POST", "/v1/connections/\(id)/refresh", nil),
                ("POST", "/v1/connections/\(id)/validate", nil),
                ("POST", "/v1/connections/\(id)/reconnect", #"{"require_finish":false}"#),
                ("GET", "/v1/connections/\(id)/events", nil),
                ("PUT", "/v1/connections/\(id)/credentials", #"{"fields":{"api_key":"x"}}"#),
                ("GET", "/v1/sessions/\(session.id)", nil), ("DELETE", "/v1/api-keys/\(keyID)", nil),
                ("POST", "/v1/api-keys/\(keyID)/rotate", "{}"), ("GET", "/v1/webhook-endpoints/mine", nil),
                ("DELETE", "/v1/webhook-endpoints/mine", nil),
                ("POST", "/v1/sessions", #"{"identity":"user-1","require_finish":false,"connection":"\#(id)"}"#),
            ]
            for (method, path, body) in calls {
                let answer = try await world.call(method, path, body, key: other)
                #expect(answer.status == 404, "\(method) \(path): \(answer.status) \(answer.text)")
            }
            let finish = try await world.call(
                "POST", "/v1/sessions/\(session.id)/finish", #"{"code":"x","identity":"user-1"}"#, key: other)
            #expect(finish.status == 403)
            #expect(try await world.pass("GET", "/x", connection: key, key: other).status == 404)
            #expect(try await world.call("GET", "/v1/connections/\(id)").status == 200)
            #expect(try await world.call("GET", "/v1/webhook-endpoints/mine").status == 200)
        }
    }

    @Test func `one identity's session cannot renew another's connection`() async throws {
        try await FrontWorld.with { world in
            _ = try await world.connectedByKey("placed-header")
            let id = try #require(try await world.call("GET", "/v1/connections").rows.first?["id"] as? String)
            for identity in [#""identity":"user-2""#, #""identity":"user-1","identity_type":"team""#] {
                let answer = try await world.call(
                    "POST", "/v1/sessions", #"{\#(identity),"require_finish":false,"connection":"\#(id)"}"#)
                #expect(answer.code == "connection_gone", "\(answer.text)")
            }
        }
    }

    @Test func `a test key makes no live environment, and a live one sees no test connection`() async throws {
        try await FrontWorld.with { world in
            let refused = try await world.call("POST", "/v1/environments", #"{"name":"prod","mode":"live"}"#)
            #expect(refused.status == 403)
            let made = try await world.call("POST", "/v1/environments", #"{"name":"second"}"#)
            #expect(made.status == 201, "\(made.text)")
            #expect(try await world.call("POST", "/v1/environments", #"{"name":"second"}"#).code == "name_taken")
            let key = try await world.connectedByKey("placed-header")
            let live = try #require(try await Environments.insert(name: "live", mode: .live, in: world.pool))
            let liveKey = try await FrontWorld.newKey(.full, live, in: world.pool)
            #expect(liveKey.hasPrefix("eg_live_"))
            #expect(try await world.pass("GET", "/x", connection: key, key: liveKey).status == 404)
        }
    }
}
