import Testing

@testable import Sandbox

@Suite struct ReplayClassTests {
    @Test func `replayable keeps its refresh token and gives a new access token`() async throws {
        try await withSandbox { sandbox async throws in
            let first = try await sandbox.connect("replayable")
            let second = try SandboxHarness.tokens(try await sandbox.refresh("replayable", first.refresh))
            #expect(second.refresh == first.refresh)
            #expect(second.access != first.access)
            #expect(try await sandbox.get("/replayable/api/me", bearer: first.access).status == 200)
            #expect(try sandbox.grant().replays == 0)
        }
    }

    @Test func `replayable leaves the refresh token out where told to`() async throws {
        try await withSandbox { sandbox async throws in
            let first = try await sandbox.connect("replayable")
            sandbox.state.change { $0[.replayable].omitsRefreshToken = true }
            #expect(try await sandbox.refresh("replayable", first.refresh).text("refresh_token") == nil)
            #expect(try await sandbox.connect("replayable").refresh != "")
        }
    }

    @Test(arguments: ["strict", "strict-family", "strict-app", "windowed", "until-used"])
    func `a class that rotates gives a new pair for each refresh`(providerClass: String) async throws {
        try await withSandbox { sandbox async throws in
            var tokens = try await sandbox.connect(providerClass)
            var seen: Set = [tokens.refresh]
            for _ in 0..<4 {
                tokens = try SandboxHarness.tokens(try await sandbox.refresh(providerClass, tokens.refresh))
                #expect(seen.insert(tokens.refresh).inserted)
            }
            let grant = try sandbox.grant()
            #expect(grant.generation == 5)
            #expect(grant.replays == 0)
            #expect(sandbox.state.lookup(tokens.refresh).alive)
        }
    }

    @Test func `until-used answers the old token until the new refresh token is used`() async throws {
        try await withSandbox { sandbox async throws in
            let first = try await sandbox.connect("until-used")
            _ = try SandboxHarness.tokens(try await sandbox.refresh("until-used", first.refresh))
            let third = try SandboxHarness.tokens(try await sandbox.refresh("until-used", first.refresh))
            _ = try SandboxHarness.tokens(try await sandbox.refresh("until-used", third.refresh))
            let refused = try await sandbox.refresh("until-used", first.refresh)
            #expect(refused.status == 400)
            #expect(refused.text("error") == "invalid_grant")
            #expect(try sandbox.grant().alive)
        }
    }

    @Test func `until-used answers the old token until the new access token is used`() async throws {
        try await withSandbox { sandbox async throws in
            let first = try await sandbox.connect("until-used")
            let second = try SandboxHarness.tokens(try await sandbox.refresh("until-used", first.refresh))
            #expect(sandbox.state.lookup(first.refresh).alive)
            #expect(try await sandbox.get("/until-used/api/me", bearer: second.access).status == 200)
            #expect(!sandbox.state.lookup(first.refresh).alive)
            #expect(try await sandbox.refresh("until-used", first.refresh).status == 400)
            #expect(sandbox.state.lookup(second.refresh).alive)
        }
    }

    @Test func `using the old access token does not end the old refresh token`() async throws {
        try await withSandbox { sandbox async throws in
            let first = try await sandbox.connect("until-used")
            _ = try await sandbox.refresh("until-used", first.refresh)
            #expect(try await sandbox.get("/until-used/api/me", bearer: first.access).status == 200)
            #expect(sandbox.state.lookup(first.refresh).alive)
        }
    }

    @Test func `until-used with a cap ends the old token by time`() async throws {
        try await withSandbox { sandbox async throws in
            sandbox.state.change { $0[.untilUsed].capSeconds = 120 }
            let first = try await sandbox.connect("until-used")
            _ = try await sandbox.refresh("until-used", first.refresh)
            sandbox.state.advanceClock(by: 121)
            #expect(try await sandbox.refresh("until-used", first.refresh).status == 400)
        }
    }

    @Test func `windowed answers the old token inside its window and refuses it after`() async throws {
        try await withSandbox { sandbox async throws in
            sandbox.state.change { $0[.windowed].windowSeconds = 30 }
            let first = try await sandbox.connect("windowed")
            _ = try await sandbox.refresh("windowed", first.refresh)
            sandbox.state.advanceClock(by: 25)
            let second = try SandboxHarness.tokens(try await sandbox.refresh("windowed", first.refresh))
            sandbox.state.advanceClock(by: 6)
            #expect(try await sandbox.refresh("windowed", first.refresh).status == 400)
            #expect(sandbox.state.lookup(second.refresh).alive)
            #expect(try sandbox.grant().replays == 2)
        }
    }

    @Test func `the window closes early when the successor is used`() async throws {
        try await withSandbox { sandbox async throws in
            let first = try await sandbox.connect("windowed")
            let second = try SandboxHarness.tokens(try await sandbox.refresh("windowed", first.refresh))
            _ = try await sandbox.refresh("windowed", second.refresh)
            #expect(!sandbox.state.lookup(first.refresh).alive)
            #expect(sandbox.state.lookup(second.refresh).alive)
        }
    }

    @Test(arguments: [
        ("new_pair_kills_sibling", false, false), ("new_pair", true, false), ("same_pair", true, true),
    ])
    func `a reissue treats the pair before as it was told`(
        reissue: String, siblingLives: Bool, isSame: Bool
    ) async throws {
        try await withSandbox { sandbox async throws in
            let set = try await sandbox.control(
                "PUT", "settings", "{\"classes\":{\"windowed\":{\"reissue\":\"\(reissue)\"}}}")
            #expect(set.status == 200)
            let first = try await sandbox.connect("windowed")
            let second = try SandboxHarness.tokens(try await sandbox.refresh("windowed", first.refresh))
            let third = try SandboxHarness.tokens(try await sandbox.refresh("windowed", first.refresh))
            #expect((third.refresh == second.refresh) == isSame)
            #expect(sandbox.state.lookup(second.refresh).alive == siblingLives)
            #expect(sandbox.state.lookup(third.refresh).alive)
            // The first of two siblings to be used ends the other.
            _ = try SandboxHarness.tokens(try await sandbox.refresh("windowed", third.refresh))
            #expect(sandbox.state.lookup(second.refresh).alive == isSame)
        }
    }

    @Test func `a token of one class or client means nothing to another`() async throws {
        try await withSandbox { sandbox async throws in
            let tokens = try await sandbox.connect("strict")
            #expect(try await sandbox.refresh("windowed", tokens.refresh).status == 400)
            #expect(try await sandbox.get("/windowed/api/me", bearer: tokens.access).status == 401)
            sandbox.state.register(client: "other", secret: "s", redirectURIs: [])
            let form = [
                ("grant_type", "refresh_token"), ("refresh_token", tokens.refresh), ("client_id", "other"),
                ("client_secret", "s"),
            ]
            #expect(try await sandbox.post("/strict/token", form).text("error") == "invalid_grant")
            #expect(sandbox.state.lookup(tokens.refresh).alive)
        }
    }
}
