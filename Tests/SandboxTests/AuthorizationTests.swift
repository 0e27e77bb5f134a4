import Testing

@testable import Sandbox

@Suite struct AuthorizationTests {
    @Test func `a code, the state and the issuer come back by redirect`() async throws {
        try await withSandbox { sandbox async throws in
            let answer = try await sandbox.authorize("strict", ["state": "a b&c=d/é"])
            #expect(answer["code"]?.hasPrefix("sbx_code_") == true)
            #expect(answer["state"] == "a b&c=d/é")
            #expect(answer["iss"] == "http://127.0.0.1:\(sandbox.port)/strict")
        }
    }

    @Test func `the issuer can be configured`() async throws {
        try await withSandbox(SandboxConfiguration(port: 0, publicURL: "https://provider.test")) {
            sandbox async throws in
            #expect(try await sandbox.authorize("windowed")["iss"] == "https://provider.test/windowed")
        }
    }

    @Test func `a denial comes back as access_denied`() async throws {
        try await withSandbox { sandbox async throws in
            let answer = try await sandbox.authorize("strict", ["auto": "deny"])
            #expect(answer["error"] == "access_denied")
            #expect(answer["state"] == "xyz")
            #expect(answer["code"] == nil)
        }
    }

    @Test func `the page asks, and posting its form decides`() async throws {
        try await withSandbox { sandbox async throws in
            let query = SandboxHarness.authorization(["login_hint": "ann@example.com"])
            let page = try await sandbox.get("/strict/authorize?\(query)")
            #expect(page.status == 200)
            #expect(page["content-type"] == "text/html; charset=utf-8")
            #expect(page.text.contains("value=\"ann@example.com\""))
            #expect(page.text.contains("<li>read</li><li>write</li>"))
            let decided = try await sandbox.post(
                "/strict/authorize?\(query)", [("account", "bob@example.com"), ("decision", "allow")])
            #expect(decided.status == 303)
            let location = try #require(decided["location"])
            let code = try #require(SandboxHarness.query(of: location)["code"])
            let tokens = try SandboxHarness.tokens(try await sandbox.exchange("strict", code: code))
            #expect(try await sandbox.get("/strict/api/me", bearer: tokens.access).text("email") == "bob@example.com")
            let denied = try await sandbox.post("/strict/authorize?\(query)", [("decision", "deny")])
            #expect(denied["location"]?.contains("error=access_denied") == true)
        }
    }

    @Test func `the settings can decide without a page`() async throws {
        try await withSandbox { sandbox async throws in
            try await sandbox.control(
                "PUT", "settings", #"{"classes":{"strict":{"auto_consent":"allow","account":"eve@example.com"}}}"#)
            #expect(try await sandbox.authorize("strict", ["auto": nil])["code"] != nil)
            #expect(try await sandbox.authorize("strict", ["auto": "deny"])["error"] == "access_denied")
        }
    }

    @Test func `what the request says is escaped on the page`() async throws {
        try await withSandbox { sandbox async throws in
            let attack = "\"><script>alert(1)</script>'&"
            let page = try await sandbox.get(
                "/strict/authorize?\(SandboxHarness.authorization(["scope": attack, "login_hint": attack, "state": attack]))"
            )
            #expect(page.status == 200)
            #expect(!page.text.contains("<script"))
            #expect(page.text.contains("&lt;script&gt;"))
            let refused = try await sandbox.get(
                "/strict/authorize?\(SandboxHarness.authorization(["client_id": attack]))")
            #expect(refused.status == 400)
            #expect(!refused.text.contains("<script"))
        }
    }

    @Test(arguments: [
        "http://evil.example/", "https://user@evil.example/", "javascript:alert(1)", "https://ok.example/#part",
        "/here",
        "http://127.0.0.1.evil.example@x/", "https:///nohost",
    ])
    func `an address that is neither https nor loopback gets a page, never a redirect`(uri: String) async throws {
        try await withSandbox { sandbox async throws in
            let answer = try await sandbox.get(
                "/strict/authorize?auto=allow&\(SandboxHarness.authorization(["redirect_uri": uri]))")
            #expect(answer.status == 400)
            #expect(answer["location"] == nil)
        }
    }

    @Test(arguments: ["https://app.example/cb", "http://localhost:3000/cb?x=1", "http://[::1]/cb", "http://127.8.8.8/"])
    func `an unregistered client may use https and loopback addresses`(uri: String) async throws {
        try await withSandbox { sandbox async throws in
            let answer = try await sandbox.get(
                "/strict/authorize?auto=allow&\(SandboxHarness.authorization(["redirect_uri": uri]))")
            #expect(answer.status == 302)
            #expect(answer["location"]?.hasPrefix(uri + (uri.contains("?") ? "&" : "?") + "code=") == true)
        }
    }

    @Test func `registered addresses are compared exactly`() async throws {
        try await withSandbox { sandbox async throws in
            let made = try await sandbox.control(
                "POST", "clients", #"{"client_id":"app","redirect_uris":["https://app.example/cb"]}"#)
            #expect(made.status == 201)
            for (uri, status) in [
                ("https://app.example/cb", 302), ("https://app.example/cb/", 400), ("https://app.example/CB", 400),
            ] {
                let query = SandboxHarness.authorization(["client_id": "app", "redirect_uri": uri, "auto": "allow"])
                #expect(try await sandbox.get("/strict/authorize?\(query)").status == status)
            }
        }
    }

    @Test(
        arguments: [
            (["response_type": "token"], "unsupported_response_type"),
            (["code_challenge_method": "plain"], "invalid_request"),
            (["code_challenge_method": nil], "invalid_request"), (["code_challenge": "short"], "invalid_request"),
        ] as [([String: String?], String)])
    func `a faulty request is told by redirect`(changes: [String: String?], error: String) async throws {
        try await withSandbox { sandbox async throws in
            let answer = try await sandbox.authorize("strict", changes)
            #expect(answer["error"] == error)
            #expect(answer["state"] == "xyz")
        }
    }

    @Test func `a class can require PKCE`() async throws {
        try await withSandbox { sandbox async throws in
            sandbox.state.change { $0[.strict].requiresPKCE = true }
            let bare: [String: String?] = ["code_challenge": nil, "code_challenge_method": nil]
            #expect(try await sandbox.authorize("strict", bare)["error"] == "invalid_request")
            #expect(try await sandbox.authorize("windowed", bare)["code"] != nil)
        }
    }

    @Test func `granted scopes can differ from those asked for`() async throws {
        try await withSandbox { sandbox async throws in
            sandbox.state.change { $0[.strict].grantedScope = "read" }
            let code = try #require(try await sandbox.authorize("strict")["code"])
            #expect(try await sandbox.exchange("strict", code: code).text("scope") == "read")
        }
    }
}
