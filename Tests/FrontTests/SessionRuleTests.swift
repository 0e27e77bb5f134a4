import Connect
import Egress
import Foundation
import Postgres
import Sandbox
import Store
import Testing

/// What a session allows, and what it refuses, in a browser's hands.
@Suite struct SessionRuleTests {
    @Test func `a link connects once, and its browser may look again`() async throws {
        try await FrontWorld.with { world in
            try await world.enable("sandbox-windowed")
            let session = try await world.session("sandbox-windowed")
            let browser = Browser(world: world)
            try await browser.open(session.token)
            _ = try await browser.get(try await browser.consent(session.id, "sandbox-windowed"))
            let success = try await browser.get("/connect/s/\(session.id)")
            #expect(success.status == 200)
            #expect(success.text.contains("ann@example.com"))

            let second = Browser(world: world)
            let again = try await second.open(session.token)
            #expect(again.status == 410)
            #expect(try again.string("code") == "session_used")
            #expect(try again.string("heading") == "This link has been used")
            #expect(try await second.get("/connect/s/\(session.id)").status == 403)
        }
    }

    @Test func `an expired link says so`() async throws {
        try await FrontWorld.with { world in
            try await world.enable("sandbox-windowed")
            let session = try await world.session("sandbox-windowed")
            let browser = Browser(world: world)
            try await browser.open(session.token)
            let callback = try await browser.consent(session.id, "sandbox-windowed")
            try await world.pool.execute(
                .init("expire", "update evergrant.connect_sessions set expires_at = now() - interval '1 s'"))
            let page = try await browser.get("/connect/s/\(session.id)")
            #expect(page.status == 410)
            #expect(page.text.contains("This link has expired"))
            #expect(try await Browser(world: world).open(session.token).string("code") == "session_expired")
            // Whoever comes back too late connects nothing, and no code is redeemed.
            #expect(try await browser.get(callback).text.contains("This link has expired"))
            #expect(world.sandbox.state.grants().isEmpty)
            #expect(try await world.call("GET", "/v1/sessions/\(session.id)").string("state") == "expired")
        }
    }

    @Test func `of two callbacks at once one connects, and the loser's code is never redeemed`() async throws {
        try await FrontWorld.with { world in
            try await world.enable("sandbox-strict-family")
            let session = try await world.session("sandbox-strict-family")
            let browser = Browser(world: world)
            try await browser.open(session.token)
            var callbacks: [String] = []
            for _ in 0..<6 { callbacks.append(try await browser.consent(session.id, "sandbox-strict-family")) }
            let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
                for callback in callbacks { group.addTask { try await browser.get(callback).status } }
                return try await group.reduce(into: [Int]()) { $0.append($1) }
            }
            #expect(statuses.filter { $0 == 303 }.count == 1, "\(statuses)")
            #expect(try await world.call("GET", "/v1/connections").json["total"] as? Int == 1)
            #expect(world.sandbox.state.grants().count == 1)
        }
    }

    @Test func `a state counts once, here only, and only for its own integration`() async throws {
        try await FrontWorld.with { world in
            for name in ["sandbox-windowed", "sandbox-strict"] { try await world.enable(name) }
            let session = try await world.session()
            let browser = Browser(world: world)
            try await browser.open(session.token)
            let callback = try await browser.consent(session.id, "sandbox-windowed")

            let tampered = try await browser.get(callback.replacing("state=", with: "state=x"))
            #expect(tampered.status == 400)
            #expect(tampered.text.contains("no longer counts"))
            for query in ["", "?state=", "?state=a&state=b&code=c", "?code=abc"] {
                #expect(try await browser.get("/oauth/callback/sandbox-windowed\(query)").status == 400, "\(query)")
            }
            // Mixed up with another integration: refused, and the state is spent by it.
            let mixed = try await browser.get(
                callback.replacing("callback/sandbox-windowed", with: "callback/sandbox-strict"))
            #expect(mixed.status == 400)
            #expect(try await browser.get(callback).status == 400)
            #expect(world.sandbox.state.grants().isEmpty)

            let fresh = try await browser.consent(session.id, "sandbox-windowed")
            #expect(try await browser.get(fresh).status == 303)
            #expect(try await browser.get(fresh).status == 400)
        }
    }

    @Test func `a callback in another browser connects nothing`() async throws {
        try await FrontWorld.with { world in
            try await world.enable("sandbox-windowed")
            let session = try await world.session("sandbox-windowed")
            let attacker = Browser(world: world)
            try await attacker.open(session.token)
            let callback = try await attacker.consent(session.id, "sandbox-windowed")
            let victim = Browser(world: world)
            let page = try await victim.get(callback)
            #expect(page.status == 403)
            #expect(page.text.contains("same browser"))
            #expect(!page.text.contains(session.id))
            #expect(world.sandbox.state.grants().isEmpty)
        }
    }

    @Test func `a wrong issuer is refused before the code is redeemed`() async throws {
        try await FrontWorld.with { world in
            try await world.enable("issued")
            let session = try await world.session("issued")
            let browser = Browser(world: world)
            try await browser.open(session.token)
            let callback = try await browser.consent(session.id, "issued")
            let forged = callback.replacing(/iss=[^&]*/, with: "iss=https%3A%2F%2Fevil.example")
            let page = try await browser.get(forged)
            #expect(page.status == 400)
            #expect(page.text.contains("came from somewhere else"), "\(page.text)")
            #expect(world.sandbox.state.grants().isEmpty)
        }
    }

    @Test func `a user who denies may try again in the same session`() async throws {
        try await FrontWorld.with { world in
            try await world.enable("sandbox-windowed")
            let session = try await world.session("sandbox-windowed")
            let browser = Browser(world: world)
            try await browser.open(session.token)
            let denied = try await browser.get(
                try await browser.consent(session.id, "sandbox-windowed", decision: "deny"))
            #expect(denied.text.contains("You did not allow access"))
            #expect(denied.text.contains(#"href="/connect/s/\#(session.id)/sandbox-windowed""#))
            #expect(try await browser.get(try await browser.consent(session.id, "sandbox-windowed")).status == 303)
        }
    }

    @Test func `each failure of the provider is a page in words, and leaves the session open`() async throws {
        var limits = ConnectLimits()
        limits.exchangeTimeout = .milliseconds(400)
        try await FrontWorld.with(limits: limits) { world in
            try await world.enable("sandbox-windowed")
            let session = try await world.session("sandbox-windowed")
            let browser = Browser(world: world)
            try await browser.open(session.token)
            for (kind, words, more) in [
                ("5xx_before", "is not answering", ""), ("html_200", "is not answering", ""),
                ("invalid_client", "is not set up for", ""), ("lost_answer", "is not answering", ""),
                ("hang", "took too long", #","ms":1500,"processed":"never""#),
            ] {
                let callback = try await browser.consent(session.id, "sandbox-windowed")
                try await world.fault(kind, endpoint: "token-code", more: more)
                let page = try await browser.get(callback)
                #expect(page.text.contains(words), "\(kind): \(page.text)")
                #expect(page.status >= 400)
                #expect(try await world.call("GET", "/v1/sessions/\(session.id)").string("state") == "opened")
            }
            #expect(try await browser.get(try await browser.consent(session.id, "sandbox-windowed")).status == 303)
        }
    }

    @Test func `a session's page opens only for a browser that traded its token`() async throws {
        try await FrontWorld.with { world in
            try await world.enable("sandbox-windowed")
            let session = try await world.session("sandbox-windowed")
            let stranger = Browser(world: world)
            for path in ["/connect/s/\(session.id)", "/connect/s/\(session.id)/sandbox-windowed"] {
                let page = try await stranger.get(path)
                #expect(page.status == 403)
                #expect(!page.text.contains("Acme"))
            }
            #expect(try await stranger.open("wrong").string("code") == "session_unknown")
            let opened = try await stranger.open(session.token)
            #expect(opened.headers["set-cookie"]?.contains("HttpOnly; SameSite=Lax") == true)
            let foreign = try await stranger.post(
                "/connect/s/\(session.id)/sandbox-windowed", form: [:], origin: "https://evil.example")
            #expect(foreign.status >= 400)
            #expect(!foreign.text.contains("Taking you"))
        }
    }

    @Test func `no token, code, state or credential is ever logged`() async throws {
        try await FrontWorld.with { world in
            try await world.enable("sandbox-windowed")
            let session = try await world.session("sandbox-windowed")
            let browser = Browser(world: world)
            try await browser.open(session.token)
            let callback = try await browser.consent(session.id, "sandbox-windowed")
            _ = try await browser.get(callback)
            _ = try await browser.get(callback)
            let key = try await world.call("GET", "/v1/sessions/\(session.id)").string("connection_key")
            _ = try await world.pass("GET", "/echo/private-path?private=query", connection: key)
            let text = world.logs.text
            #expect(text.contains("/oauth/callback"))
            var secrets = [session.token, world.key, "sandbox-secret", "sbx_", "private-path", "private=query"]
            let items = try #require(URLComponents(string: callback)?.queryItems)
            secrets += items.filter { ["code", "state"].contains($0.name) }.compactMap(\.value)
            secrets += browser.cookies.values
            for secret in secrets { #expect(!text.contains(secret), "\(secret)") }
        }
    }

    @Test func `what a user typed comes back as text, never as markup`() async throws {
        try await FrontWorld.with { world in
            for name in ["sandbox-windowed", "sandbox-key"] { try await world.enable(name) }
            let identity = #"<script>alert(1)</script>\"' onload=x \u0338\""#
            let session = try await world.session(nil, identity: identity)
            let browser = Browser(world: world)
            try await browser.open(session.token)
            let page = try await browser.get("/connect/s/\(session.id)?q=%22%CC%B8%20autofocus%20x=%22%3Cb%3E")
            #expect(!page.text.contains("<script>alert"))
            #expect(!page.text.contains("<b>\""))
            #expect(!page.text.utf8.contains(sequence: Array("\"\u{338} autofocus".utf8)))
            #expect(page.text.contains("&lt;script&gt;"))
        }
    }
}

extension Sequence where Element == UInt8 {
    fileprivate func contains(sequence: [UInt8]) -> Bool {
        let bytes = Array(self)
        guard bytes.count >= sequence.count else { return false }
        return (0...(bytes.count - sequence.count)).contains {
            bytes[$0..<($0 + sequence.count)].elementsEqual(sequence)
        }
    }
}
