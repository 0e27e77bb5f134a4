import Credentials
import Foundation
import Testing

@testable import Webhooks

@Suite struct ReferenceLibraryTests {
    /// Reads secrets, headers and body as JSON from its input and verifies them; says `verified` for each secret.
    private static let script = """
        import json, sys
        from standardwebhooks import Webhook
        call = json.load(sys.stdin)
        for secret in call["secrets"]:
            event = Webhook(secret).verify(call["body"], call["headers"])
            assert event["type"] == "connection.broken", event
            print("verified")
        """

    @Test func `PyPI's standardwebhooks verifies what we send, with either secret of a rotation`() async throws {
        let python = try #require(
            ProcessInfo.processInfo.environment["EVERGRANT_TEST_PYTHON"],
            "EVERGRANT_TEST_PYTHON names no Python with standardwebhooks: run ./dev test, which makes one")
        try await WebhookFixture.run { fixture in
            let old = try #require(try await fixture.endpoint(types: ["connection.broken"]).secret)
            let rotated = try await fixture.editor.rotateSecret(name: "main", environmentID: fixture.environmentID)
            let new = try #require(rotated.secret)
            try await fixture.breakConnection("späßchen 🔑")
            try await fixture.dispatch()
            await fixture.jobsEnd(1)
            let request = try #require(fixture.receiver.requests.first)
            let call: [String: Any] = [
                "secrets": [old.text.revealedText(), new.text.revealedText()], "headers": request.headers,
                "body": String(decoding: request.body, as: UTF8.self),
            ]
            let input = try JSONSerialization.data(withJSONObject: call)
            #expect(try await Self.run(python, input) == "verified\nverified\n")
        }
    }

    /// Runs the script without blocking a thread; input and output are files, so that no pipe can fill up.
    static func run(
        _ python: String, _ input: Data, script: String = ReferenceLibraryTests.script
    ) async throws -> String {
        let folder = FileManager.default.temporaryDirectory.appending(path: "webhook-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let call = folder.appending(path: "call.json"), output = folder.appending(path: "output.txt")
        try input.write(to: call)
        try Data().write(to: output)
        let process = Process()
        process.executableURL = URL(filePath: python)
        process.arguments = ["-c", script]
        process.standardInput = try FileHandle(forReadingFrom: call)
        let written = try FileHandle(forWritingTo: output)
        process.standardOutput = written
        process.standardError = written
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
            process.terminationHandler = { _ in continuation.resume() }
            do { try process.run() } catch { continuation.resume(throwing: error) }
        }
        return String(decoding: try Data(contentsOf: output), as: UTF8.self)
    }
}
