import Egress
import Foundation
import Postgres
import Sandbox
import Store
import Testing

/// From an app's first call to a provider's answer, as a user and an app go through it.
@Suite struct ConnectJourneyTests {
    @Test func `a link, a consent and a callback make a connection whose key opens the provider's API`() async throws {
        try await FrontWorld.with { world in
            try await world.enable("sandbox-windowed")
            let connection = try await world.connected("sandbox-windowed", identity: "user 7:x")
            #expect(try connection.string("state") == "active")
            #expect(try connection.string("identity") == "user 7:x")
            let key = try connection.string("key")
            let shape = /^test::sandbox-windowed::default::[0-9a-f]{32}\|user-7-x$/
            #expect(try shape.wholeMatch(in: key) != nil, "\(key)")
            let account = try #require(connection.json["account"] as? [String: String])
            #expect(account["label"] == "ann@example.com")

            let me = try await world.pass("GET", "/me", connection: key)
            #expect(me.status == 200, "\(me.text)")
            #expect(try me.string("email") == "ann@example.com")
        }
    }

    @Test func `the integration's page names the app and the owner before anyone leaves`() async throws {
        try await FrontWorld.with { world in
            try await world.enable("sandbox-windowed")
            let session = try await world.session("sandbox-windowed", identity: "grace@acme.test")
            let browser = Browser(world: world)
            try await browser.open(session.token)
            let first = try await browser.get("/connect/s/\(session.id)")
            #expect(first.headers["location"] == "/connect/s/\(session.id)/sandbox-windowed")
            let page = try await browser.get("/connect/s/\(session.id)/sandbox-windowed")
            #expect(page.status == 200)
            #expect(page.text.contains("Acme"))
            #expect(page.text.contains("grace@acme.test"))
            #expect(page.headers["content-security-policy"]?.contains("default-src 'none'") == true)
            #expect(page.headers["content-security-policy"]?.contains("unsafe-inline") == false)
            #expect(page.headers["referrer-policy"] == "same-origin")
            #expect(page.headers["cache-control"] == "no-store")
            #expect(!page.text.contains(" style="))
            #expect(!page.text.contains("<script>"))
        }
    }

    @Test func `several integrations are a list that can be searched`() async throws {
        try await FrontWorld.with { world in
            for name in ["sandbox-windowed", "sandbox-strict", "sandbox-key"] { try await world.enable(name) }
            let session = try await world.session()
            let browser = Browser(world: world)
            try await browser.open(session.token)
            let all = try await browser.get("/connect/s/\(session.id)")
            #expect(all.text.contains("Sandbox, strict"))
            #expect(all.text.contains("Sandbox, API key"))
            let found = try await browser.get("/connect/s/\(session.id)?q=windowed")
            #expect(found.text.contains("Sandbox, windowed"))
            #expect(!found.text.contains("Sandbox, strict"))
        }
    }

    @Test func `an API key is tested at the provider before it is stored`() async throws {
        try await FrontWorld.with { world in
            try await world.enable("sandbox-key")
            let session = try await world.session("sandbox-key")
            let browser = Browser(world: world)
            try await browser.open(session.token)
            let path = "/connect/s/\(session.id)/sandbox-key"
            let empty = try await browser.post(path, form: ["api_key": ""])
            #expect(empty.status == 400)
            #expect(empty.text.contains("API key"))
            let wrong = try await browser.post(path, form: ["api_key": "sk_sandbox_not_a_key"])
            #expect(wrong.status == 422)
            #expect(wrong.text.contains("did not accept this key"))
            #expect(!wrong.text.contains("sk_sandbox_not_a_key"))
            #expect(try await world.call("GET", "/v1/connections").json["total"] as? Int == 0)

            let right = world.sandbox.state.makeKey(account: "kim@example.com")
            let done = try await browser.post(path, form: ["api_key": right])
            #expect(done.status == 303, "\(done.text)")
            let success = try await browser.get("/connect/s/\(session.id)")
            #expect(success.text.contains("kim@example.com"))
            let list = try await world.call("GET", "/v1/connections")
            let rows = try #require(list.json["data"] as? [[String: Any]])
            #expect(rows.count == 1)
            #expect(!list.text.contains(right))
            let key = try #require(rows[0]["key"] as? String)
            let me = try await world.pass("GET", "/me", connection: key)
            #expect(me.status == 200, "\(me.text)")
        }
    }

    @Test func `a finish with the code and the identity makes the connection active, once`() async throws {
        try await FrontWorld.with { world in
            try await world.enable("sandbox-windowed")
            let minted = try await world.call(
                "POST", "/v1/sessions",
                #"{"identity":"u1","integrations":["sandbox-windowed"],"redirect_url":"https://app.example.com/back?a=1"}"#
            )
            #expect(minted.status == 201, "\(minted.text)")
            #expect(minted.json["require_finish"] as? Bool == true)
            let id = try minted.string("id")
            let browser = Browser(world: world)
            try await browser.open(try minted.string("token"))
            let callback = try await browser.consent(id, "sandbox-windowed")
            #expect(try await browser.get(callback).status == 303)
            let shown = try await world.call("GET", "/v1/sessions/\(id)")
            let key = try shown.string("connection_key")
            #expect(try await world.pass("GET", "/me", connection: key).code == "connection_pending")

            // Another browser that knows the session's id gets nothing out of it.
            let stranger = Browser(world: world)
            #expect(try await stranger.get("/connect/s/\(id)").status == 403)

            let page = try await browser.get("/connect/s/\(id)")
            let match = try #require(
                page.text.firstMatch(of: /url=(https:\/\/app.example.com\/back\?a=1&amp;[^"]+)"/), "\(page.text)")
            let url = String(match.1).replacing("&amp;", with: "&")
            let items = try #require(URLComponents(string: url)?.queryItems)
            #expect(items.first { $0.name == "evergrant_session" }?.value == id)
            let code = try #require(items.first { $0.name == "evergrant_code" }?.value)

            let path = "/v1/sessions/\(id)/finish"
            let other = try await world.call("POST", path, #"{"code":"\#(code)","identity":"u2"}"#)
            #expect(other.code == "finish_refused")
            let type = try await world.call(
                "POST", path, #"{"code":"\#(code)","identity":"u1","identity_type":"team"}"#)
            #expect(type.code == "finish_refused")
            let wrong = try await world.call("POST", path, #"{"code":"nonsense","identity":"u1"}"#)
            #expect(wrong.code == "finish_refused")
            let done = try await world.call("POST", path, #"{"code":"\#(code)","identity":"u1"}"#)
            #expect(try done.string("state") == "active")
            let again = try await world.call("POST", path, #"{"code":"\#(code)","identity":"u1"}"#)
            #expect(again.code == "finish_refused")
            #expect(try await world.pass("GET", "/me", connection: key).status == 200)
        }
    }

    @Test func `a reconnect keeps id and key, refuses another account, and brings a broken connection back`()
        async throws
    {
        try await FrontWorld.with { world in
            try await world.enable("sandbox-strict")
            let first = try await world.connected("sandbox-strict", account: "ann@example.com")
            let id = try first.string("id")
            try await world.pool.execute(
                .init("break", "update evergrant.connections set state = 'broken', reason = 'refused'"))
            #expect(
                try await world.pass("GET", "/me", connection: try first.string("key")).code == "connection_broken")

            let minted = try await world.call(
                "POST", "/v1/connections/\(id)/reconnect", #"{"require_finish":false}"#)
            #expect(minted.status == 201, "\(minted.text)")
            let session = try minted.string("id")
            let browser = Browser(world: world)
            try await browser.open(try minted.string("token"))
            let wrong = try await browser.consent(session, "sandbox-strict", account: "bob@example.com")
            let refused = try await browser.get(wrong)
            #expect(refused.status == 409)
            #expect(refused.text.contains("different account"))
            #expect(refused.text.contains("/connect/s/\(session)/sandbox-strict"))

            let right = try await browser.consent(session, "sandbox-strict", account: "ann@example.com")
            #expect(try await browser.get(right).status == 303)
            let after = try await world.call("GET", "/v1/connections/\(id)")
            #expect(try after.string("state") == "active")
            #expect(try after.string("key") == first.string("key"))
            let events = try await world.call("GET", "/v1/connections/\(id)/events")
            #expect(events.text.contains("connection.recovered"))
            #expect(try await world.pass("GET", "/me", connection: try first.string("key")).status == 200)
        }
    }

    @Test func `a reconnect with a finish touches nothing before the app has confirmed`() async throws {
        try await FrontWorld.with { world in
            try await world.enable("sandbox-windowed")
            let first = try await world.connected("sandbox-windowed", identity: "u1")
            let id = try first.string("id")
            let minted = try await world.call(
                "POST", "/v1/connections/\(id)/reconnect", #"{"redirect_url":"https://app.example.com/"}"#)
            let session = try minted.string("id")
            let browser = Browser(world: world)
            try await browser.open(try minted.string("token"))
            _ = try await browser.get(try await browser.consent(session, "sandbox-windowed"))
            let generation = try await world.generation(id)
            #expect(generation == 1)
            let page = try await browser.get("/connect/s/\(session)")
            let code = try #require(page.text.firstMatch(of: /evergrant_code=([A-Za-z0-9_-]+)/))
            let done = try await world.call(
                "POST", "/v1/sessions/\(session)/finish", #"{"code":"\#(code.1)","identity":"u1"}"#)
            #expect(done.status == 200, "\(done.text)")
            #expect(try await world.generation(id) == 2)
            #expect(try await world.pass("GET", "/me", connection: try first.string("key")).status == 200)
        }
    }

    @Test func `the key of an API key connection is replaced in place, after a test`() async throws {
        try await FrontWorld.with { world in
            try await world.enable("sandbox-key")
            let session = try await world.session("sandbox-key")
            let browser = Browser(world: world)
            try await browser.open(session.token)
            let old = world.sandbox.state.makeKey(account: "kim@example.com")
            _ = try await browser.post("/connect/s/\(session.id)/sandbox-key", form: ["api_key": old])
            let id = try await world.call("GET", "/v1/sessions/\(session.id)").string("connection")
            let path = "/v1/connections/\(id)/credentials"
            let bad = try await world.call("PUT", path, #"{"fields":{"api_key":"sk_sandbox_no"}}"#)
            #expect(bad.code == "key_refused")
            let strange = world.sandbox.state.makeKey(account: "lee@example.com")
            let other = try await world.call("PUT", path, #"{"fields":{"api_key":"\#(strange)"}}"#)
            #expect(other.code == "account_mismatch")
            let fresh = world.sandbox.state.makeKey(account: "kim@example.com")
            let good = try await world.call("PUT", path, #"{"fields":{"api_key":"\#(fresh)"}}"#)
            #expect(good.status == 200, "\(good.text)")
            #expect(try good.string("id") == id)
        }
    }
}

extension FrontWorld {
    func generation(_ publicID: String) async throws -> Int {
        let row = try await pool.execute(
            .init(
                "generation",
                "select generation from evergrant.connections where 'conn_' || replace(uid::text, '-', '') = $1"),
            [.text(publicID)]
        ).first
        let value: Int64 = try #require(row).decode(Int64.self)
        return Int(value)
    }
}
