import Foundation
import Testing

@testable import Sandbox

@Suite struct GateTests {
    @Test func `a gate after the work holds the answer until it is released`() async throws {
        try await withSandbox { sandbox async throws in
            let tokens = try await sandbox.connect("strict-family")
            let gate = try await sandbox.control(
                "POST", "gates", #"{"class":"strict-family","endpoint":"token-refresh","point":"after"}"#)
            #expect(gate.status == 201)
            let id = try #require(gate.text("id"))
            async let answer = sandbox.refresh("strict-family", tokens.refresh)
            let waited = try await sandbox.control("GET", "gates/\(id)/wait")
            #expect(waited.status == 200)
            #expect(waited.list("held").first?["account"] as? String == "user@example.com")
            #expect(!sandbox.state.lookup(tokens.refresh).alive)
            #expect(try sandbox.grant().generation == 2)
            #expect(try await sandbox.control("POST", "gates/\(id)/release").status == 200)
            #expect(try await answer.status == 200)
            #expect(try await sandbox.control("GET", "gates/\(id)").status == 404)
        }
    }

    @Test func `a gate before the work leaves the token as it is`() async throws {
        try await withSandbox { sandbox async throws in
            let tokens = try await sandbox.connect("strict")
            let gate = sandbox.state.addGate(SandboxSelector(nil, .tokenRefresh), .before)
            async let answer = sandbox.refresh("strict", tokens.refresh)
            #expect(await gate.wait())
            #expect(sandbox.state.lookup(tokens.refresh).alive)
            #expect(sandbox.state.remove(gate: gate.id))
            #expect(try await answer.status == 200)
        }
    }

    @Test func `a client killed at the gate is no longer in flight, its work goes on`() async throws {
        try await withSandbox { sandbox async throws in
            let tokens = try await sandbox.connect("strict")
            let gate = sandbox.state.addGate(SandboxSelector(nil, .tokenRefresh), .after, count: 1)
            let connection = try WireConnection(port: sandbox.port)
            try connection.send(
                "POST", "/strict/token", headers: [("Content-Type", "application/x-www-form-urlencoded")],
                body: SandboxHarness.encode(SandboxHarness.refreshForm(tokens.refresh)))
            #expect(await gate.wait())
            #expect(try sandbox.grant().inFlight == 1)
            connection.drop()
            while try sandbox.grant().inFlight > 0 { await Task.yield() }
            // A second worker comes while the first one's request still stands at the gate.
            #expect(try await sandbox.refresh("strict", tokens.refresh).status == 400)
            gate.release()
            while sandbox.state.ledger().requests.contains(where: { $0.delivery == .open }) { await Task.yield() }
            let grant = try sandbox.grant()
            #expect(grant.maximumInFlight == 1)
            #expect(grant.maximumInWork == 2)
            #expect(grant.inFlight == 0)
            #expect(sandbox.state.ledger().requests.filter(\.isAbandoned).count == 1)
        }
    }

    @Test func `a gate stops as many as it was made for and releases them one by one`() async throws {
        try await withSandbox { sandbox async throws in
            let tokens = try await sandbox.connect("replayable")
            let gate = try await sandbox.control("POST", "gates", #"{"point":"before","count":2}"#)
            let id = try #require(gate.text("id"))
            async let first = sandbox.refresh("replayable", tokens.refresh)
            async let second = sandbox.refresh("replayable", tokens.refresh)
            #expect(try await sandbox.control("GET", "gates/\(id)/wait?count=2").list("held").count == 2)
            #expect(try await sandbox.refresh("replayable", tokens.refresh).status == 200)
            #expect(try await sandbox.control("POST", "gates/\(id)/release", #"{"count":1}"#).list("held").count == 1)
            #expect(try await sandbox.control("DELETE", "gates/\(id)").list("held").isEmpty)
            #expect(try await first.status == 200)
            #expect(try await second.status == 200)
            #expect(try sandbox.grant().maximumInFlight == 3)
        }
    }

    @Test func `waiting for nobody ends with 408`() async throws {
        try await withSandbox { sandbox async throws in
            let id = try #require(try await sandbox.control("POST", "gates", #"{"point":"after"}"#).text("id"))
            #expect(try await sandbox.control("GET", "gates/\(id)/wait?timeout_ms=30").status == 408)
            #expect(try await sandbox.control("POST", "gates", #"{"class":"strict"}"#).status == 400)
        }
    }
}
