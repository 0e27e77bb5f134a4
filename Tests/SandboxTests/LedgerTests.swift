import Foundation
import Testing

@testable import Sandbox

@Suite struct LedgerTests {
    @Test func `the ledger tells who presented what and what came of it`() async throws {
        try await withSandbox { sandbox async throws in
            let first = try await sandbox.connect("strict")
            _ = try await sandbox.refresh("strict", first.refresh)
            _ = try await sandbox.refresh("strict", first.refresh)
            _ = try await sandbox.get("/strict/api/me", bearer: first.access)
            let name = try sandbox.grant().id
            let ledger = try await sandbox.control("GET", "ledger?class=strict&grant=\(name)")
            let requests = ledger.list("requests")
            #expect(requests.map { $0["outcome"] as? String } == ["issued", "issued", "refused_replay"])
            #expect(requests.map { $0["endpoint"] as? String } == ["token-code", "token-refresh", "token-refresh"])
            #expect(requests[1]["token"] as? String == requests[0]["issued"] as? String)
            #expect(requests[2]["token"] as? String == requests[0]["issued"] as? String)
            #expect(requests.allSatisfy { $0["delivery"] as? String == "answered" })
            #expect(ledger.list("calls").map { $0["outcome"] as? String } == ["served"])
            let refreshes = ledger.list("tokens").filter { $0["kind"] as? String == "refresh" }
            #expect(refreshes.map { $0["alive"] as? Bool } == [false, true])
            #expect(refreshes[0]["why"] as? String == "it was spent")
            #expect(refreshes[1]["parent"] as? String == refreshes[0]["id"] as? String)
            // Never a value.
            #expect(!ledger.text.contains("sbx_"))
            let since = (requests[2]["id"] as? Int) ?? 0
            #expect(try await sandbox.control("GET", "ledger?since=\(since)").list("requests").count == 1)
            #expect(try await sandbox.control("GET", "ledger?class=windowed").list("requests").isEmpty)
        }
    }

    @Test func `in-flight counts see every overlap`() async throws {
        try await withSandbox { sandbox async throws in
            let tokens = try await sandbox.connect("replayable")
            let gate = sandbox.state.addGate(SandboxSelector(), .before)
            try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<5 {
                    group.addTask { try await sandbox.refresh("replayable", tokens.refresh).status }
                }
                #expect(await gate.wait(for: 5))
                #expect(try sandbox.grant().inFlight == 5)
                gate.release()
                for try await status in group { #expect(status == 200) }
            }
            let grant = try sandbox.grant()
            #expect(grant.inFlight == 0)
            #expect(grant.maximumInFlight == 5)
            let counts = try await sandbox.control("GET", "counts")
            #expect(counts.number("max_in_flight") == 5)
            #expect(counts.number("refreshes") == 5)
        }
    }

    @Test func `counts keeps counters and no lines`() async throws {
        try await withSandbox { sandbox async throws in
            let tokens = try await sandbox.connect("strict")
            #expect(try await sandbox.control("PUT", "settings", #"{"ledger":"counts"}"#).text("ledger") == "counts")
            let before = sandbox.state.ledger().requests.count
            var refresh = tokens.refresh
            for _ in 0..<60 {
                refresh = try SandboxHarness.tokens(try await sandbox.refresh("strict", refresh)).refresh
            }
            let ledger = sandbox.state.ledger()
            #expect(ledger.requests.count == before)
            let tally = ledger.tallies.first { $0.endpoint == .tokenRefresh && $0.outcome == .issued }
            #expect(tally?.count == 60)
            #expect(ledger.tokens.count { $0.kind == .refresh } < 32)
            #expect(sandbox.state.lookup(refresh).alive)
        }
    }

    @Test func `the ledger keeps the newest lines`() {
        var lines = RecentLines<Int>(capacity: 3)
        for line in 0..<8 { lines.append(line) }
        #expect(lines.all == [5, 6, 7])
        #expect(lines.forgotten == 5)
        lines.update(6) { $0 = 60 }
        lines.update(4) { $0 = 40 }
        lines.update(8) { $0 = 80 }
        #expect(lines.all == [5, 60, 7])
    }

    @Test func `lookup tells for many tokens at once whether they live`() async throws {
        try await withSandbox { sandbox async throws in
            let first = try await sandbox.connect("strict")
            let second = try SandboxHarness.tokens(try await sandbox.refresh("strict", first.refresh))
            let answer = try await sandbox.control(
                "POST", "lookup", "{\"tokens\":[\"\(first.refresh)\",\"\(second.refresh)\",\"\(second.access)\",\"x\"]}"
            )
            let results = answer.list("results")
            #expect(results.map { $0["kind"] as? String } == ["refresh", "refresh", "access", "unknown"])
            #expect(results.map { $0["alive"] as? Bool } == [false, true, true, false])
            #expect(results.map { $0["newest"] as? Bool } == [false, true, true, nil])
            #expect(results[0]["grant_alive"] as? Bool == true)
            let one = try await sandbox.control("POST", "lookup", "{\"token\":\"\(second.refresh)\"}")
            #expect(one.number("generation") == 2)
        }
    }
}
