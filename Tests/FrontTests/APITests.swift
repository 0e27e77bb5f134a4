import Egress
import Foundation
import Front
import Postgres
import Sandbox
import Store
import Testing

/// The API's own manners: keys, roles, bodies, problems.
@Suite struct APITests {
    @Test func `a refresh on demand answers the connection as it stands after it`() async throws {
        try await FrontWorld.with { world in
            try await world.enable("sandbox-strict-family")
            let connection = try await world.connected("sandbox-strict-family")
            let id = try connection.string("id")
            let answer = try await world.call("POST", "/v1/connections/\(id)/refresh")
            #expect(answer.status == 200)
            #expect(try answer.string("id") == id)
            #expect(try answer.string("state") == "active")
            #expect(answer.json["last_refreshed_at"] is String)
        }
    }

    @Test func `without a good key nothing of the API answers`() async throws {
        try await FrontWorld.with { world in
            for path in ["/v1/connections", "/v1/environment", "/v1/integrations", "/v1/passthrough/x", "/v1/jobs"] {
                for header in ["", "Bearer ", "Bearer eg_test_wrong", "Basic \(world.key)", world.key] {
                    let answer = try await Answer.of(
                        world.egress, "GET", world.base + path, header.isEmpty ? [] : [("authorization", header)], nil)
                    #expect(answer.status == 401, "\(path) \(header)")
                    #expect(answer.code == "unauthenticated")
                    #expect(answer.headers["content-type"] == "application/problem+json")
                }
            }
        }
    }

    @Test func `a revoked key stops working within its short memory`() async throws {
        try await FrontWorld.with(options: { $0.keyCacheLife = .milliseconds(100) }) { world in
            let made = try await world.call("POST", "/v1/api-keys", #"{"name":"ci","role":"read"}"#)
            #expect(made.status == 201)
            let key = try made.string("key")
            #expect(key.hasPrefix("eg_test_"))
            #expect(try await world.call("GET", "/v1/connections", key: key).status == 200)
            let list = try await world.call("GET", "/v1/api-keys")
            #expect(!list.text.contains(key))
            #expect(try await world.call("DELETE", "/v1/api-keys/\(try made.string("id"))").status == 200)
            #expect(try await world.call("GET", "/v1/connections", key: key).status == 401)
            // By another process: only the memory ends it.
            let other = try await FrontWorld.newKey(.read, world.environment, in: world.pool)
            #expect(try await world.call("GET", "/v1/connections", key: other).status == 200)
            try await world.pool.execute(
                .init("revoke", "update evergrant.api_keys set revoked_at = now() where role = 'read'"))
            _ = try await eventually {
                try await world.call("GET", "/v1/connections", key: other).status == 401 ? true : nil
            }
        }
    }

    @Test func `a rotated key and its successor both work until the overlap ends`() async throws {
        try await FrontWorld.with { world in
            let made = try await world.call("POST", "/v1/api-keys", #"{"name":"app","role":"connect"}"#)
            let old = try made.string("key")
            let path = "/v1/api-keys/\(try made.string("id"))/rotate"
            let next = try await world.call("POST", path, #"{"overlap_seconds":3600}"#)
            let new = try next.string("key")
            #expect(new != old)
            #expect(try next.string("role") == "connect")
            for key in [old, new] { #expect(try await world.call("GET", "/v1/connections", key: key).status == 200) }
            let last = try await world.call(
                "POST", "/v1/api-keys/\(try next.string("id"))/rotate", #"{"overlap_seconds":0}"#)
            #expect(last.status == 201)
            #expect(try await world.call("GET", "/v1/connections", key: new).status == 401)
        }
    }

    @Test func `each role may do its own and nothing else`() async throws {
        try await FrontWorld.with { world in
            let key = try await world.connectedByKey("placed-header")
            let id = try #require(try await world.call("GET", "/v1/connections").rows.first?["id"] as? String)
            let calls: [(String, String, String?, Set<APIKeyRole>)] = [
                ("GET", "/v1/connections", nil, [.full, .connect, .read, .operate]),
                ("GET", "/v1/jobs", nil, [.full, .read, .enqueue, .operate]),
                ("POST", "/v1/sessions", #"{"identity":"x","require_finish":false}"#, [.full, .connect]),
                ("PATCH", "/v1/connections/\(id)", #"{"name":"n"}"#, [.full, .operate]),
                ("PUT", "/v1/integrations/placed-query", "{}", [.full, .operate]),
                ("GET", "/v1/api-keys", nil, [.full, .operate]),
                ("GET", "/v1/passthrough/x", nil, [.full]),
            ]
            for role in APIKeyRole.allCases {
                let roleKey = try await FrontWorld.newKey(role, world.environment, in: world.pool)
                for (method, path, body, allowed) in calls {
                    let answer =
                        path.contains("passthrough")
                        ? try await world.pass("GET", "/x", connection: key, key: roleKey)
                        : try await world.call(method, path, body, key: roleKey)
                    #expect(
                        (answer.status == 403) == !allowed.contains(role), "\(role) \(method) \(path): \(answer.text)")
                }
            }
            // A key gives out no permission it lacks.
            let operatorKey = try await FrontWorld.newKey(.operate, world.environment, in: world.pool)
            let raised = try await world.call("POST", "/v1/api-keys", #"{"role":"full"}"#, key: operatorKey)
            #expect(raised.code == "forbidden")
        }
    }

    @Test func `bad input is told by field, and nothing is stored`() async throws {
        try await FrontWorld.with { world in
            let bodies: [(String, String)] = [
                ("{", "invalid_json"), ("[]", "invalid_json"), ("\"x\"", "invalid_json"), ("{}", "invalid_request"),
                (#"{"identity":7}"#, "invalid_request"), (#"{"identity":""}"#, "invalid_request"),
                (#"{"identity":"u","identity_type":"robot"}"#, "invalid_request"),
                (#"{"identity":"u","identty_type":"user"}"#, "invalid_request"),
                (#"{"identity":"u","integrations":["gmial"]}"#, "invalid_request"),
                (#"{"identity":"u","integrations":["gmail"],"require_finish":false}"#, "not_enabled"),
                (#"{"identity":"u","integrations":[]}"#, "invalid_request"),
                (#"{"identity":"u"}"#, "invalid_request"),
                (#"{"identity":"u","redirect_url":"https://evil.com/"}"#, "invalid_request"),
                (#"{"identity":"u","redirect_url":"https://app.example.com@evil.com/"}"#, "invalid_request"),
                (#"{"identity":"u","redirect_url":"https://app.example.com.evil.com/"}"#, "invalid_request"),
                (#"{"identity":"u","redirect_url":"https://app.example.com\\@evil.com/"}"#, "invalid_request"),
                (#"{"identity":"u","redirect_url":"javascript:alert(1)"}"#, "invalid_request"),
                (#"{"identity":"u","redirect_url":"http://app.example.com/"}"#, "invalid_request"),
                (#"{"identity":"u","redirect_url":"https://app.example.com/#x"}"#, "invalid_request"),
                (#"{"identity":"u","require_finish":false,"expires_in":999999999}"#, "invalid_request"),
                (#"{"identity":"a\u0000b","require_finish":false}"#, "invalid_request"),
                (#"{"identity":"u","require_finish":false,"metadata":{"a":"\u0000"}}"#, "invalid_request"),
                (#"{"identity":"u","require_finish":false,"connection":"conn_x"}"#, "invalid_request"),
                (
                    #"{"identity":"u","require_finish":false,"connection":"conn_0123456789abcdef0123456789abcdef"}"#,
                    "connection_gone"
                ),
            ]
            for (body, code) in bodies {
                let answer = try await world.call("POST", "/v1/sessions", body)
                #expect(answer.code == code, "\(body): \(answer.text)")
                #expect((400..<500).contains(answer.status), "\(body): \(answer.status)")
                #expect(answer.json["request_id"] is String)
            }
            let row = try await world.pool.execute(.init("count", "select count(*) from evergrant.connect_sessions"))
                .first
            let count: Int64 = try #require(row).decode(Int64.self)
            #expect(count == 0)
            let hint = try await world.call("POST", "/v1/sessions", #"{"identity":"u","integrations":["gmial"]}"#)
            #expect(hint.text.contains("gmail"), "\(hint.text)")
        }
    }

    @Test func `every identity type and any identity up to 256 characters round-trips unchanged`() async throws {
        try await FrontWorld.with { world in
            let key = try await world.connectedByKey("placed-header")
            #expect(key.hasSuffix("|user-1"))
            for (type, identity) in [
                ("user", "ann+tag@example.com"), ("team", "équipe 日本語: 7|8"),
                ("organization", String(repeating: "x", count: 256)),
                ("project", "6f1c0f2e-9a41-4d5f-b1c5-0a1b2c3d4e5f"),
            ] {
                let session = try await world.session(
                    "placed-header", identity: identity, more: #","identity_type":"\#(type)""#)
                let browser = Browser(world: world)
                try await browser.open(session.token)
                _ = try await browser.post(
                    "/connect/s/\(session.id)/placed-header", form: ["api_key": "sk_upstream_0123456789"])
                let id = try await world.call("GET", "/v1/sessions/\(session.id)").string("connection")
                let shown = try await world.call("GET", "/v1/connections/\(id)")
                #expect(try shown.string("identity") == identity)
                #expect(try shown.string("identity_type") == type)
                let query = identity.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? ""
                let list = try await world.call("GET", "/v1/connections?identity=\(query)&identity_type=\(type)")
                #expect(list.rows.count == 1, "\(list.text)")
            }
            let long = String(repeating: "x", count: 257)
            #expect(try await world.call("POST", "/v1/sessions", #"{"identity":"\#(long)"}"#).status == 400)
        }
    }

    @Test func `an oversized body is 413, an unknown path 404 and a wrong method 405, all as problems`() async throws {
        try await FrontWorld.with(options: { $0.maximumBodyBytes = 10_000 }) { world in
            let large = #"{"identity":""# + String(repeating: "x", count: 20_000) + #""}"#
            let answer = try await world.call("POST", "/v1/sessions", large)
            #expect(answer.status == 413)
            #expect(answer.code == "body_too_large")
            let chunked = try await RawRequest.send(
                "POST /v1/sessions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
                    + "Content-Type: application/json\r\nAuthorization: Bearer \(world.key)\r\n\r\n"
                    + "4e20\r\n" + String(repeating: " ", count: 20_000) + "\r\n0\r\n\r\n", port: world.port)
            #expect(chunked.contains(" 413 "), "\(chunked)")
            let missing = try await world.call("GET", "/v1/nothing")
            #expect(missing.status == 404)
            #expect(missing.code == "not_found")
            let method = try await world.call("PUT", "/v1/sessions", "{}")
            #expect(method.status == 405)
            #expect(method.headers["allow"] == "POST")
            let form = try await Answer.of(
                world.egress, "POST", world.base + "/v1/sessions",
                [("authorization", "Bearer \(world.key)"), ("content-type", "text/plain")], Array("{}".utf8))
            #expect(form.status == 415)
        }
    }

    @Test func `a sane request id is kept, another replaced`() async throws {
        try await FrontWorld.with { world in
            let kept = try await world.call("GET", "/v1/environment", headers: [("x-request-id", "abc-123")])
            #expect(kept.headers["x-request-id"] == "abc-123")
            let replaced = try await world.call("GET", "/v1/environment", headers: [("x-request-id", "a b<c>")])
            #expect(replaced.headers["x-request-id"]?.hasPrefix("req_") == true)
        }
    }

    @Test func `an idempotent repeat has no second effect`() async throws {
        try await FrontWorld.with { world in
            let header = [("idempotency-key", "k1")]
            let first = try await world.call(
                "POST", "/v1/sessions", #"{"identity":"u","require_finish":false}"#, headers: header)
            #expect(first.status == 201)
            let repeated = try await world.call(
                "POST", "/v1/sessions", #"{"identity":"u","require_finish":false}"#, headers: header)
            #expect(repeated.code == "idempotent_secret")
            let other = try await world.call(
                "POST", "/v1/sessions", #"{"identity":"v","require_finish":false}"#, headers: header)
            #expect(other.code == "idempotency_key_reused")
            let row = try await world.pool.execute(.init("count", "select count(*) from evergrant.connect_sessions"))
                .first
            let count: Int64 = try #require(row).decode(Int64.self)
            #expect(count == 1)

            _ = try await world.connectedByKey("placed-header")
            let id = try #require(try await world.call("GET", "/v1/connections").rows.first?["id"] as? String)
            let validate = "/v1/connections/\(id)/validate"
            let one = try await world.call("POST", validate, headers: [("idempotency-key", "k2")])
            let two = try await world.call("POST", validate, headers: [("idempotency-key", "k2")])
            #expect(one.status == 200, "\(one.text)")
            #expect(two.body == one.body)
            #expect(two.headers["idempotent-replayed"] == "true")
            // A failed call gives its key back.
            let bad = try await world.call("POST", "/v1/sessions", "{}", headers: [("idempotency-key", "k3")])
            #expect(bad.status == 400)
            let good = try await world.call(
                "POST", "/v1/sessions", #"{"identity":"u","require_finish":false}"#,
                headers: [("idempotency-key", "k3")])
            #expect(good.status == 201 || good.code == "idempotency_key_reused", "\(good.text)")
        }
    }

    @Test func `connections are listed, filtered, paged, renamed and deleted`() async throws {
        try await FrontWorld.with { world in
            for name in ["placed-header", "placed-query"] { _ = try await world.connectedByKey(name) }
            _ = try await world.connectedByKey("placed-header")
            #expect(try await world.call("GET", "/v1/connections").json["total"] as? Int == 3)
            #expect(try await world.call("GET", "/v1/connections?integration=placed-query").rows.count == 1)
            var seen: [String] = []
            var cursor = ""
            repeat {
                let page = try await world.call("GET", "/v1/connections?limit=1\(cursor)")
                seen += page.rows.compactMap { $0["id"] as? String }
                cursor = (page.json["next_cursor"] as? String).map { "&cursor=\($0)" } ?? ""
            } while !cursor.isEmpty
            #expect(seen.count == 3 && Set(seen).count == 3)
            let patched = try await world.call(
                "PATCH", "/v1/connections/\(seen[0])", #"{"name":"Mine","tags":["a","b"],"metadata":{"n":1}}"#)
            #expect(try patched.string("name") == "Mine")
            #expect(try await world.call("GET", "/v1/connections?tag=b").rows.count == 1)
            #expect(try await world.call("GET", "/v1/connections?name=Mine").rows.count == 1)
            let key = try patched.string("key").addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? ""
            #expect(try await world.call("GET", "/v1/connections?key=\(key)").rows.count == 1)
            let deleted = try await world.call("DELETE", "/v1/connections/\(seen[0])")
            #expect(try deleted.string("state") == "revoking")
            #expect(try await world.call("GET", "/v1/connections?state=active").rows.count == 2)
            for query in ["state=nonsense", "limit=0", "limit=x", "cursor=%21", "colour=red", "tag=a&tag=b", "key=k"] {
                #expect(try await world.call("GET", "/v1/connections?\(query)").status == 400, "\(query)")
            }
        }
    }

    @Test func `the admin listener tells health, readiness and metrics, and the public one does not`() async throws {
        try await FrontWorld.with { world in
            let admin = "http://127.0.0.1:\(world.adminPort)"
            for (path, text) in [("/healthz", "ok"), ("/readyz", "ready"), ("/metrics", "evergrant_up 1")] {
                let answer = try await Answer.of(world.egress, "GET", admin + path, [], nil)
                #expect(answer.status == 200 && answer.text.contains(text), "\(path): \(answer.text)")
                #expect(try await Answer.of(world.egress, "GET", world.base + path, [], nil).status == 404)
            }
            #expect(try await Answer.of(world.egress, "GET", world.base + "/openapi.yaml", [], nil).status == 200)
        }
    }
}

extension Answer {
    /// The rows of a list.
    var rows: [[String: Any]] { json["data"] as? [[String: Any]] ?? [] }
}
