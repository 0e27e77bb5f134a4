import Testing

@testable import Sandbox

@Suite struct ReplayHarmTests {
    @Test func `in strict a replay is refused and harms nothing`() async throws {
        try await withSandbox { sandbox async throws in
            let first = try await sandbox.connect("strict")
            let second = try SandboxHarness.tokens(try await sandbox.refresh("strict", first.refresh))
            let replay = try await sandbox.refresh("strict", first.refresh)
            #expect(replay.status == 400)
            #expect(replay.text("error") == "invalid_grant")
            #expect(try sandbox.grant().replays == 1)
            _ = try SandboxHarness.tokens(try await sandbox.refresh("strict", second.refresh))
        }
    }

    @Test func `in strict-family a replay kills the grant with all its tokens`() async throws {
        try await withSandbox { sandbox async throws in
            let first = try await sandbox.connect("strict-family")
            let second = try SandboxHarness.tokens(try await sandbox.refresh("strict-family", first.refresh))
            #expect(try await sandbox.refresh("strict-family", first.refresh).status == 400)
            #expect(try await sandbox.refresh("strict-family", second.refresh).status == 400)
            #expect(try await sandbox.get("/strict-family/api/me", bearer: second.access).status == 401)
            let grant = try sandbox.grant()
            #expect(!grant.alive)
            #expect(grant.why?.contains("was replayed") == true)
            #expect(grant.refreshTokensAlive.isEmpty)
        }
    }

    @Test func `in strict-app a replay turns the client off for everybody`() async throws {
        try await withSandbox { sandbox async throws in
            let first = try await sandbox.connect("strict-app", account: "a@example.com")
            let other = try await sandbox.connect("strict-app", account: "b@example.com")
            _ = try await sandbox.refresh("strict-app", first.refresh)
            #expect(try await sandbox.refresh("strict-app", first.refresh).text("error") == "invalid_grant")
            let refused = try await sandbox.refresh("strict-app", other.refresh)
            #expect(refused.status == 401)
            #expect(refused.text("error") == "invalid_client")
            // Grants live on, for when the operator has talked to the provider.
            #expect(sandbox.state.grants().allSatisfy { $0.alive })
            _ = try await sandbox.connect("strict")
            sandbox.state.register(client: "sandbox-client", secret: "sandbox-secret", redirectURIs: [])
            _ = try SandboxHarness.tokens(try await sandbox.refresh("strict-app", other.refresh))
        }
    }

    @Test func `windowed with harm family kills the grant after the window only`() async throws {
        try await withSandbox { sandbox async throws in
            sandbox.state.change {
                $0[.windowed].harm = .family
                $0[.windowed].windowSeconds = 10
            }
            let first = try await sandbox.connect("windowed")
            _ = try await sandbox.refresh("windowed", first.refresh)
            _ = try await sandbox.refresh("windowed", first.refresh)
            #expect(try sandbox.grant().alive)
            sandbox.state.advanceClock(by: 10)
            #expect(try await sandbox.refresh("windowed", first.refresh).status == 400)
            #expect(try !sandbox.grant().alive)
        }
    }

    @Test func `a sibling that was never used is refused without harm`() async throws {
        try await withSandbox { sandbox async throws in
            sandbox.state.change { $0[.windowed].harm = .family }
            let first = try await sandbox.connect("windowed")
            let second = try SandboxHarness.tokens(try await sandbox.refresh("windowed", first.refresh))
            _ = try await sandbox.refresh("windowed", first.refresh)
            #expect(try await sandbox.refresh("windowed", second.refresh).status == 400)
            #expect(try sandbox.grant().alive)
        }
    }
}
