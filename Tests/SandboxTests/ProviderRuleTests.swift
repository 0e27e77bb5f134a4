import Foundation
import Testing

@testable import Sandbox

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// Rules that some providers have beside their replay class.
@Suite struct ProviderRuleTests {
    @Test func `a refresh that comes too early is refused and spends nothing`() async throws {
        try await withSandbox { sandbox in
            sandbox.state.change { $0[.strict].earliestRefresh = 570 }
            let tokens = try await sandbox.connect("strict")
            let early = try await sandbox.refresh("strict", tokens.refresh)
            #expect(early.status == 400)
            #expect(early.text("error") == "access_denied")
            sandbox.state.advanceClock(by: 571)
            #expect(try await sandbox.refresh("strict", tokens.refresh).status == 200)
        }
    }

    @Test func `a new grant of an account ends its older ones where a provider allows one`() async throws {
        try await withSandbox { sandbox in
            sandbox.state.change { $0[.windowed].oneGrantPerAccount = true }
            let first = try await sandbox.connect("windowed")
            let second = try await sandbox.connect("windowed")
            #expect(!sandbox.state.lookup(first.refresh).alive)
            #expect(sandbox.state.lookup(second.refresh).alive)
            let other = try await sandbox.connect("windowed", account: "other@example.com")
            #expect(sandbox.state.lookup(second.refresh).alive && sandbox.state.lookup(other.refresh).alive)
        }
    }

    @Test func `token requests of a grant over its limit get 429 and are counted in the ledger`() async throws {
        try await withSandbox { sandbox in
            sandbox.state.change {
                $0[.replayable].grantLimit = 2
                $0[.replayable].grantLimitSeconds = 600
            }
            let tokens = try await sandbox.connect("replayable")
            let other = try await sandbox.connect("replayable", account: "other@example.com")
            for _ in 0..<2 { #expect(try await sandbox.refresh("replayable", tokens.refresh).status == 200) }
            let limited = try await sandbox.refresh("replayable", tokens.refresh)
            #expect(limited.status == 429)
            let wait = try #require(limited["retry-after"].flatMap { Int($0) })
            #expect((1...600).contains(wait))
            #expect(try await sandbox.refresh("replayable", other.refresh).status == 200)
            #expect(sandbox.state.ledger().requests.count { $0.outcome == .limited } == 1)
            sandbox.state.advanceClock(by: 601)
            #expect(try await sandbox.refresh("replayable", tokens.refresh).status == 200)
        }
    }

    @Test func `a fault for one tenant leaves every other alone`() async throws {
        try await withSandbox { sandbox in
            let one = try await sandbox.connect("strict", account: "a@one.example")
            let two = try await sandbox.connect("strict", account: "a@two.example")
            try await sandbox.control(
                "POST", "faults", #"{"kind":"invalid_client","tenant":"one.example","endpoint":"token-refresh"}"#)
            #expect(try await sandbox.refresh("strict", one.refresh).status == 401)
            #expect(try await sandbox.refresh("strict", two.refresh).status == 200)
        }
    }

    @Test func `a request that arrives twice is worked on twice and answered once`() async throws {
        try await withSandbox { sandbox in
            let tokens = try await sandbox.connect("strict-family")
            try await sandbox.control("POST", "faults", #"{"kind":"duplicate","endpoint":"token-refresh","count":1}"#)
            let answer = try await sandbox.refresh("strict-family", tokens.refresh)
            #expect(answer.status == 200)
            let received = try SandboxHarness.tokens(answer)
            #expect(try sandbox.grant().replays == 1)
            #expect(!sandbox.state.lookup(received.refresh).alive)
        }
    }

    @Test func `two secrets are good until the old one is expired`() async throws {
        try await withSandbox { sandbox in
            let tokens = try await sandbox.connect("replayable")
            try await sandbox.control("POST", "clients/sandbox-client/secrets/add", #"{"client_secret":"new"}"#)
            func refresh(_ secret: String) async throws -> WireAnswer {
                try await sandbox.post(
                    "/replayable/token",
                    [
                        ("grant_type", "refresh_token"), ("refresh_token", tokens.refresh),
                        ("client_id", "sandbox-client"), ("client_secret", secret),
                    ])
            }
            #expect(try await refresh("sandbox-secret").status == 200)
            #expect(try await refresh("new").status == 200)
            try await sandbox.control(
                "POST", "clients/sandbox-client/secrets/expire", #"{"client_secret":"sandbox-secret"}"#)
            let refused = try await refresh("sandbox-secret")
            #expect(refused.status == 401)
            #expect(refused.text("error_description")?.contains("expired") == true)
            #expect(try await refresh("new").status == 200)
        }
    }

    @Test func `time can pass for the grants of one account alone`() async throws {
        try await withSandbox { sandbox in
            let old = try await sandbox.connect("windowed", account: "old@example.com")
            let young = try await sandbox.connect("windowed", account: "young@example.com")
            _ = try await sandbox.refresh("windowed", old.refresh)
            _ = try await sandbox.refresh("windowed", young.refresh)
            try await sandbox.control("POST", "clock", #"{"advance_seconds":700,"account":"old@example.com"}"#)
            #expect(try await sandbox.refresh("windowed", old.refresh).status == 400)
            #expect(try await sandbox.refresh("windowed", young.refresh).status == 200)
        }
    }

    @Test func `every address it listens on is the same provider`() async throws {
        try await withSandbox(SandboxConfiguration(port: 0, otherHosts: ["127.0.0.2"])) { sandbox in
            let tokens = try await sandbox.connect("strict")
            let form = SandboxHarness.refreshForm(tokens.refresh)
            var request = URLRequest(
                url: try #require(URL(string: "http://127.0.0.2:\(sandbox.port)/strict/token")))
            request.httpMethod = "POST"
            request.setValue("application/x-www-form-urlencoded", forHTTPHeaderField: "Content-Type")
            request.httpBody = Data(SandboxHarness.encode(form))
            let (_, response) = try await URLSession.shared.data(for: request)
            #expect((response as? HTTPURLResponse)?.statusCode == 200)
            #expect(try sandbox.grant().refreshes == 1)
        }
    }
}
