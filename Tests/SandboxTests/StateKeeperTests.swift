import Foundation
import Testing

@testable import Sandbox

@Suite struct StateKeeperTests {
    private func withFile<Result>(_ body: (String) async throws -> Result) async throws -> Result {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("sandbox-\(UUID().uuidString).json")
            .path
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try await body(path)
    }

    @Test func `grants, keys, clients, settings and the clock survive a restart`() async throws {
        try await withFile { path in
            let configuration = SandboxConfiguration(port: 0, stateFile: path)
            let (first, second, key) = try await withSandbox(configuration) { sandbox async throws in
                sandbox.state.change { $0[.strictFamily].accessLifetime = 60 }
                sandbox.state.register(client: "kept", secret: "s", redirectURIs: ["https://a.example/"])
                let first = try await sandbox.connect("strict-family", account: "a@example.com")
                let second = try SandboxHarness.tokens(try await sandbox.refresh("strict-family", first.refresh))
                let key = sandbox.state.makeKey(account: "k@example.com")
                sandbox.state.advanceClock(by: 30)
                return (first, second, key)
            }
            let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
            #expect(mode == 0o600)
            try await withSandbox(configuration) { sandbox async throws in
                #expect(
                    try await sandbox.get("/strict-family/api/me", bearer: second.access).text("email")
                        == "a@example.com")
                let third = try SandboxHarness.tokens(try await sandbox.refresh("strict-family", second.refresh))
                #expect(third.expiresIn == 60)
                #expect(try await sandbox.send("GET", "/key/api/me", headers: [("x-api-key", key)]).status == 200)
                #expect(try await sandbox.control("GET", "clients").list("clients").count == 2)
                let time = try #require(try await sandbox.control("GET", "clock").number("time"))
                #expect(time > Date().timeIntervalSince1970 + 25)
                #expect(try sandbox.grant().inFlight == 0)
                // Spent tokens are remembered too: their replay still kills.
                #expect(try await sandbox.refresh("strict-family", first.refresh).status == 400)
                #expect(try !sandbox.grant().alive)
            }
        }
    }

    @Test func `the file is written soon after a change`() async throws {
        try await withFile { path in
            try await withSandbox(SandboxConfiguration(port: 0, stateFile: path)) { sandbox async throws in
                let tokens = try await sandbox.connect("strict")
                while (try? String(contentsOfFile: path, encoding: .utf8))?.contains(tokens.refresh) != true {
                    try await Task.sleep(for: .milliseconds(20))
                }
            }
        }
    }

    @Test func `a file that is no state stops the start and says so`() async throws {
        try await withFile { path in
            try Data("{\"version\":1}".utf8).write(to: URL(fileURLWithPath: path))
            let error = await #expect(throws: SandboxError.self) {
                try await withSandbox(SandboxConfiguration(port: 0, stateFile: path)) { _ in }
            }
            #expect(error?.code == .stateFile)
            #expect(error?.message.contains(path) == true)
            #expect(try String(contentsOfFile: path, encoding: .utf8) == "{\"version\":1}")
        }
    }
}
