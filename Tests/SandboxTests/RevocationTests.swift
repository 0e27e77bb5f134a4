import Testing

@testable import Sandbox

@Suite struct RevocationTests {
    @Test(arguments: [true, false])
    func `revoking a token of either kind kills the grant`(byRefreshToken: Bool) async throws {
        try await withSandbox { sandbox async throws in
            let tokens = try await sandbox.connect("windowed")
            let form = [("token", byRefreshToken ? tokens.refresh : tokens.access)] + SandboxHarness.client
            #expect(try await sandbox.post("/windowed/revoke", form).status == 200)
            #expect(try await sandbox.refresh("windowed", tokens.refresh).status == 400)
            #expect(try await sandbox.get("/windowed/api/me", bearer: tokens.access).status == 401)
            #expect(try sandbox.grant().why == "its client revoked it")
            #expect(try await sandbox.post("/windowed/revoke", form).status == 200)
        }
    }

    @Test func `an unknown token is a success, another client's is refused`() async throws {
        try await withSandbox { sandbox async throws in
            #expect(try await sandbox.post("/strict/revoke", [("token", "x")] + SandboxHarness.client).status == 200)
            let tokens = try await sandbox.connect("strict")
            sandbox.state.register(client: "other", secret: "s", redirectURIs: [])
            let theirs = [("token", tokens.refresh), ("client_id", "other"), ("client_secret", "s")]
            #expect(try await sandbox.post("/strict/revoke", theirs).status == 400)
            #expect(try sandbox.grant().alive)
            #expect(try await sandbox.post("/strict/revoke", [("token", tokens.refresh)]).status == 401)
        }
    }

    @Test func `introspection tells what lives and changes nothing`() async throws {
        try await withSandbox { sandbox async throws in
            let first = try await sandbox.connect("until-used")
            let second = try SandboxHarness.tokens(try await sandbox.refresh("until-used", first.refresh))
            let access = try await sandbox.post(
                "/until-used/introspect", [("token", second.access)] + SandboxHarness.client)
            #expect(access.flag("active") == true)
            #expect(access.text("username") == "user@example.com")
            #expect(access.text("scope") == "read write")
            #expect(access.text("iss") == "http://127.0.0.1:\(sandbox.port)/until-used")
            let old = try await sandbox.post(
                "/until-used/introspect", [("token", first.refresh)] + SandboxHarness.client)
            #expect(old.flag("active") == true)
            sandbox.state.revoke(account: "user@example.com")
            for token in [first.refresh, second.access, "unknown"] {
                let gone = try await sandbox.post("/until-used/introspect", [("token", token)] + SandboxHarness.client)
                #expect(gone.flag("active") == false)
                #expect(gone.object.count == 1)
            }
            #expect(try await sandbox.post("/until-used/introspect", [("token", "x")]).status == 401)
        }
    }

    @Test func `the user can revoke at the provider, by grant and by account`() async throws {
        try await withSandbox { sandbox async throws in
            let first = try await sandbox.connect("strict", account: "a@example.com")
            let second = try await sandbox.connect("windowed", account: "a@example.com")
            let other = try await sandbox.connect("windowed", account: "b@example.com")
            let name = try #require(sandbox.state.lookup(first.refresh).grant)
            let revoked = try await sandbox.control("POST", "grants/\(name)/revoke")
            #expect(revoked.status == 200)
            #expect(revoked.flag("alive") == false)
            let all = try await sandbox.control("POST", "revoke?account=a@example.com")
            #expect((all.object["revoked"] as? [String])?.count == 1)
            #expect(!sandbox.state.lookup(second.refresh).alive)
            #expect(sandbox.state.lookup(other.refresh).alive)
            #expect(try await sandbox.control("POST", "grants/g999/revoke").status == 404)
        }
    }
}
