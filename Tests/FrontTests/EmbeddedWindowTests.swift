import Connect
import Credentials
import Egress
import Foundation
import Postgres
import Sandbox
import Store
import Testing

/// The embedded window's rules, call by call: what its frame may do with a token, and what nobody may.
@Suite struct EmbeddedWindowTests {
    private static let page = "https://app.example.com"

    private static func with(_ body: (FrontWorld) async throws -> Void) async throws {
        try await FrontWorld.with { world in
            let listed = try await world.call("PATCH", "/v1/environment", #"{"embedding_origins":["\#(page)"]}"#)
            try #require(listed.status == 200, "\(listed.text)")
            for name in ["sandbox-windowed", "sandbox-key"] { try await world.enable(name) }
            try await body(world)
        }
    }

    @Test func `the frame may be held by listed pages only, runs nothing inline, and holds nothing of a session`()
        async throws
    {
        try await Self.with { world in
            let browser = Browser(world: world)
            for reference in [world.environment.uid, world.environment.name] {
                let frame = try await browser.get("/e/\(reference)/frame")
                #expect(frame.status == 200)
                let policy = try #require(frame.headers["content-security-policy"])
                #expect(policy.contains("frame-ancestors https://app.example.com"))
                #expect(policy.contains("default-src 'none'") && policy.contains("script-src 'self'"))
                #expect(!policy.contains("unsafe"))
                #expect(frame.headers["x-frame-options"] == nil)
                #expect(frame.headers["referrer-policy"] == "no-referrer")
                #expect(frame.headers["cache-control"] == "no-store")
                #expect(frame.headers.values("set-cookie").isEmpty)
            }
            #expect(try await browser.get("/e/nobody/frame").status == 404)
            _ = try await world.call("PATCH", "/v1/environment", #"{"embedding_origins":[]}"#)
            let closed = try await browser.get("/e/\(world.environment.uid)/frame")
            #expect(closed.headers["content-security-policy"]?.contains("frame-ancestors 'none'") == true)
        }
    }

    @Test func `an embedded session needs a listed page, has no link, and no finish unless asked for`() async throws {
        try await Self.with { world in
            let made = try await world.embedded()
            #expect(made.json["connect_url"] == nil)
            #expect(made.json["kind"] as? String == "embedded")
            #expect(made.json["require_finish"] as? Bool == false)
            #expect(try made.string("environment") == world.environment.uid)
            let link = try await Browser(world: world).open(try made.string("token"))
            #expect(try link.string("code") == "session_unknown")
            let odd = try await world.call("POST", "/v1/sessions", #"{"identity":"u","kind":"popup"}"#)
            #expect(odd.status == 400)
            _ = try await world.call("PATCH", "/v1/environment", #"{"embedding_origins":[]}"#)
            let none = try await world.call("POST", "/v1/sessions", #"{"identity":"u","kind":"embedded"}"#)
            #expect(none.text.contains("embedding_origins"))
        }
    }

    @Test func `a frame opens with its token, of a listed page, in its own environment`() async throws {
        try await Self.with { world in
            let token = try await world.embedded().string("token")
            let opened = try await world.window("POST", "open", token, world.opening())
            #expect(opened.status == 200, "\(opened.text)")
            #expect((opened.json["owner"] as? [String: String])?["value"] == "user-1")
            #expect((opened.json["integrations"] as? [[String: Any]])?.count == 2)
            let foreign = try await world.window("POST", "open", token, world.opening(parent: "https://evil.example"))
            #expect(try foreign.string("code") == "session_unknown")
            let forged = try await world.window("POST", "open", "nonsense", world.opening())
            #expect(try forged.string("code") == "session_unknown")
            let link = try await world.session("sandbox-windowed")
            #expect(
                try await world.window("POST", "open", link.token, world.opening()).string("code") == "session_unknown")
            let other = try #require(try await Environments.insert(name: "other", mode: .test, in: world.pool))
            let mixed = try await world.window(
                "POST", "open", token, #"{"parent":"\#(Self.page)","environment":"\#(other.uid)"}"#)
            #expect(try mixed.string("code") == "session_unknown")
        }
    }

    @Test func `calls that another site sends are refused before anything is read`() async throws {
        try await Self.with { world in
            let token = try await world.embedded().string("token")
            for headers in [
                [("origin", "https://evil.example")], [("sec-fetch-site", "cross-site")], [("origin", "null")],
            ] {
                let answer = try await world.window("POST", "open", token, world.opening(), headers: headers)
                #expect(answer.status == 403)
                #expect(answer.headers["access-control-allow-origin"] == nil)
            }
            let preflight = try await Browser(world: world).send("OPTIONS", "/connect/api/depart", nil, [])
            #expect(preflight.status == 405)
            #expect(preflight.headers["access-control-allow-origin"] == nil)
        }
    }

    @Test func `leaving needs the browser's own cookie, and the callback comes back to that browser`() async throws {
        try await Self.with { world in
            let token = try await world.embedded().string("token")
            let body = #"{"integration":"sandbox-windowed"}"#
            #expect(try await world.window("POST", "depart", token, body).string("code") == "wrong_browser")
            let browser = Browser(world: world)
            let start = try await browser.get("/connect/start")
            #expect(start.headers["cross-origin-opener-policy"] == "unsafe-none")
            #expect(start.headers["content-security-policy"]?.contains("frame-ancestors 'none'") == true)
            let url = try await world.window("POST", "depart", token, body, browser: browser).string("url")
            let provider = try await Answer.of(
                world.egress, "GET", url + "&auto=allow&login_hint=ann@example.com", [], nil)
            let callback = try #require(provider.headers["location"])
            let done = try await browser.get(callback)
            #expect(done.status == 303)
            let outcome = try await world.window("GET", "outcome", token)
            let connection = try #require(outcome.json["connection"] as? [String: Any])
            #expect(connection["account"] as? String == "ann@example.com")
            #expect(connection["metadata"] == nil)
            let again = try await world.window("POST", "depart", token, body, browser: browser)
            #expect(try again.string("code") == "session_used")
            #expect(try await world.window("POST", "open", token, world.opening()).string("code") == "session_used")
            // The stranger who only has the token of a session that has ended reads its outcome, never a credential.
            #expect(!outcome.text.contains("access_token"))
            for secret in [token, callback.split(separator: "?").last.map(String.init) ?? "?"] {
                #expect(!world.logs.text.contains(secret))
            }
        }
    }

    @Test func `a failed attempt is told to its frame by the server, and forgotten by the next one`() async throws {
        try await Self.with { world in
            let token = try await world.embedded().string("token")
            let browser = Browser(world: world)
            _ = try await browser.get("/connect/start")
            let body = #"{"integration":"sandbox-windowed"}"#
            let left = try await world.window("POST", "depart", token, body, browser: browser)
            #expect(left.json["departure"] as? Int == 1)
            let provider = try await Answer.of(
                world.egress, "GET", try left.string("url") + "&auto=deny&login_hint=ann@example.com", [], nil)
            let page = try await browser.get(try #require(provider.headers["location"]))
            #expect(page.text.contains(#"data-code="denied""#))
            #expect(page.headers["cross-origin-opener-policy"] == "unsafe-none")
            let outcome = try await world.window("GET", "outcome", token)
            let failure = try #require(outcome.json["failure"] as? [String: Any])
            #expect(failure["code"] as? String == "denied")
            #expect(failure["departure"] as? Int == 1)
            #expect(outcome.json["state"] as? String == "authorizing")
            _ = try await world.window("POST", "depart", token, body, browser: browser)
            #expect(try await world.window("GET", "outcome", token).json["failure"] == nil)
        }
    }

    @Test func `out of its frame a session needs a finish and a listed page to come back to`() async throws {
        try await Self.with { world in
            let made = try await world.embedded()
            let token = try made.string("token")
            let browser = Browser(world: world)
            let evil = try await world.window(
                "POST", "leave", token, #"{"return_url":"https://evil.example/"}"#, browser: browser)
            #expect(try evil.string("code") == "invalid_field")
            let left = try await world.window(
                "POST", "leave", token,
                #"{"return_url":"\#(Self.page)/p?a=1#top","integration":"sandbox-windowed"}"#, browser: browser)
            let id = try made.string("id")
            #expect(try left.string("location") == "/connect/s/\(id)/sandbox-windowed")
            _ = try await browser.get(try await browser.consent(id, "sandbox-windowed"))
            let page = try await browser.get("/connect/s/\(id)")
            let match = try #require(page.text.firstMatch(of: /url=(https:[^"]+)"/), "\(page.text)")
            let back = String(match.1).replacing("&amp;", with: "&")
            #expect(back.hasPrefix("\(Self.page)/p?a=1&evergrant_session=\(id)&evergrant_code="))
            #expect(back.hasSuffix("#top"))
            let key = try await world.call("GET", "/v1/sessions/\(id)").string("connection_key")
            #expect(try await world.pass("GET", "/me", connection: key).code == "connection_pending")
        }
    }

    @Test func `of two keys at once one connects`() async throws {
        try await Self.with { world in
            let token = try await world.embedded().string("token")
            _ = try await world.window("POST", "open", token, world.opening())
            let key = world.sandbox.state.makeKey(account: "kim@example.com")
            let body = #"{"integration":"sandbox-key","fields":{"api_key":"\#(key)"},"name":"mine"}"#
            let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<4 { group.addTask { try await world.window("POST", "key", token, body).status } }
                return try await group.reduce(into: [Int]()) { $0.append($1) }
            }
            #expect(statuses.filter { $0 == 200 }.count == 1, "\(statuses)")
            let list = try await world.call("GET", "/v1/connections")
            #expect(list.json["total"] as? Int == 1)
            let rows = try #require(list.json["data"] as? [[String: Any]])
            #expect(rows.first?["name"] as? String == "mine")
            #expect(!world.logs.text.contains(key))
        }
    }
}

extension FrontWorld {
    /// A session for a frame.
    func embedded(more: String = "") async throws -> Answer {
        let answer = try await call("POST", "/v1/sessions", #"{"identity":"user-1","kind":"embedded"\#(more)}"#)
        try #require(answer.status == 201, "\(answer.text)")
        return answer
    }

    func opening(parent: String = "https://app.example.com") -> String {
        #"{"parent":"\#(parent)","environment":"\#(environment.uid)"}"#
    }

    /// A call of the frame's, or of a window it opened.
    func window(
        _ method: String, _ path: String, _ token: String, _ json: String? = nil, browser: Browser? = nil,
        headers: [(String, String)] = []
    ) async throws -> Answer {
        var fields = [("authorization", "Bearer \(token)")] + headers
        if json != nil { fields.append(("content-type", "application/json")) }
        if !headers.contains(where: { $0.0 == "origin" }) { fields.append(("origin", base)) }
        return try await (browser ?? Browser(world: self)).send(
            method, "/connect/api/\(path)", json.map { Array($0.utf8) }, fields)
    }
}
