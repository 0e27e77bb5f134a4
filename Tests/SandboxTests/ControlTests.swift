import Foundation
import Testing

@testable import Sandbox

@Suite struct ControlTests {
    @Test(arguments: [
        ("PUT", "settings", #"{"classes":{"strict":{"window":1}}}"#, "`classes.strict.window`"),
        ("PUT", "settings", #"{"classes":{"strikt":{}}}"#, "`strikt`"),
        ("PUT", "settings", #"{"classes":{"strict":{"harm":"much"}}}"#, "`classes.strict.harm`"),
        ("PUT", "settings", #"{"classes":{"strict":{"access_lifetime":-1}}}"#, "`classes.strict.access_lifetime`"),
        ("PUT", "settings", #"{"ledgers":"full"}"#, "`ledgers`"), ("PUT", "settings", "[]", "not a JSON object"),
        ("POST", "faults", #"{"class":"strict"}"#, "`kind` is missing"),
        ("POST", "faults", #"{"kind":"5xx"}"#, "5xx_before"),
        ("POST", "faults", #"{"kind":"slow","count":true}"#, "`count`"),
        ("POST", "faults", #"{"kind":"slow","probability":2}"#, "`probability`"),
        ("POST", "faults", #"{"kind":"slow","endpoint":"token"}"#, "token-refresh"),
        ("POST", "faults", #"{"kind":"slow","milliseconds":5}"#, "`milliseconds`"),
        ("POST", "clock", #"{"seconds":5}"#, "`seconds`"), ("POST", "clock", "{}", "`advance_seconds` is missing"),
        ("POST", "lookup", "{}", "`token`"), ("POST", "revoke", "", "?account="),
        ("GET", "ledger?class=nope", "", "strict-family"),
    ])
    func `a call with a fault is refused by name`(
        method: String, path: String, json: String, word: String
    ) async throws {
        try await withSandbox { sandbox async throws in
            let answer = try await sandbox.control(method, path, json)
            #expect(answer.status == 400)
            #expect(answer.text("error_description")?.contains(word) == true, "\(answer.text)")
        }
    }

    @Test func `settings change member by member and null takes one away`() async throws {
        try await withSandbox { sandbox async throws in
            try await sandbox.control(
                "PUT", "settings", #"{"classes":{"windowed":{"window_seconds":5,"cap_seconds":9}}}"#)
            try await sandbox.control("PUT", "settings", #"{"classes":{"windowed":{"cap_seconds":null}}}"#)
            let settings = sandbox.state.settings[.windowed]
            #expect(settings.windowSeconds == 5)
            #expect(settings.capSeconds == nil)
            #expect(settings.accessLifetime == 3600)
            let shown = try await sandbox.control("GET", "settings")
            #expect(shown.text.contains("\"cap_seconds\":null"))
        }
    }

    @Test func `reset brings back the start and lets stopped requests go`() async throws {
        try await withSandbox { sandbox async throws in
            let tokens = try await sandbox.connect("strict")
            sandbox.state.advanceClock(by: 5000)
            sandbox.state.register(client: "other", secret: nil, redirectURIs: [])
            let gate = sandbox.state.addGate(SandboxSelector(), .before)
            async let stopped = sandbox.refresh("strict", tokens.refresh)
            #expect(await gate.wait())
            #expect(try await sandbox.control("POST", "reset").status == 200)
            // Its grant has gone while it stood there.
            #expect(try await stopped.text("error") == "invalid_grant")
            #expect(sandbox.state.grants().isEmpty)
            let time = try #require(try await sandbox.control("GET", "clock").number("time"))
            #expect(abs(time - Date().timeIntervalSince1970) < 60)
            #expect(try await sandbox.control("GET", "clients").list("clients").count == 1)
            _ = try await sandbox.connect("strict")
        }
    }

    @Test func `a client that was removed is unknown`() async throws {
        try await withSandbox { sandbox async throws in
            let tokens = try await sandbox.connect("strict")
            #expect(try await sandbox.control("DELETE", "clients/sandbox-client").status == 200)
            #expect(try await sandbox.refresh("strict", tokens.refresh).text("error") == "invalid_client")
            #expect(try await sandbox.control("DELETE", "clients/sandbox-client").status == 404)
        }
    }

    @Test func `a taken port stops the start and says so`() async throws {
        try await withSandbox { sandbox async throws in
            let error = await #expect(throws: SandboxError.self) {
                try await withSandbox(SandboxConfiguration(port: sandbox.port)) { _ in }
            }
            #expect(error?.code == .cannotListen)
            #expect(error?.message.contains("127.0.0.1:\(sandbox.port)") == true)
        }
    }

    @Test func `shutdown ends the wait at a gate`() async throws {
        let waiting = try await withSandbox { sandbox async throws in
            let gate = sandbox.state.addGate(SandboxSelector(), .before)
            let connection = try WireConnection(port: sandbox.port)
            try connection.send("GET", "/control/gates/\(gate.name)/wait?timeout_ms=600000", headers: [], body: nil)
            // Answered after the other has been read, on one event loop or another: either way the wait ends.
            #expect(try await sandbox.control("GET", "gates").status == 200)
            return connection
        }
        let answer = try waiting.receive()
        #expect(answer.isEmpty || answer.status == 408)
    }
}
