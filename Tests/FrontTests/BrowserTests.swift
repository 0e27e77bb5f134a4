import Connect
import Foundation
import Testing

/// The connect pages in a real browser: `Tests/Browser/connect_page.py` against a front of this process.
@Suite struct BrowserTests {
    /// A Python with selenium, named by `EVERGRANT_BROWSER_PYTHON`; `./dev test` makes one.
    static let python = ProcessInfo.processInfo.environment["EVERGRANT_BROWSER_PYTHON"]

    @Test(
        .enabled(if: python != nil, "EVERGRANT_BROWSER_PYTHON names no Python with selenium"), .timeLimit(.minutes(5)))
    func `every connect page says what it should in a real browser`() async throws {
        var limits = ConnectLimits()
        limits.exchangeTimeout = .seconds(2)
        try await FrontWorld.with(limits: limits) { world in
            let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
                .appending(path: "Browser/connect_page.py")
            let process = Process()
            process.executableURL = URL(fileURLWithPath: try #require(Self.python))
            process.arguments = [script.path]
            process.environment = ProcessInfo.processInfo.environment.merging([
                "EVERGRANT_URL": world.base, "EVERGRANT_API_KEY": world.key, "SANDBOX_URL": world.sandboxBase,
                "EVERGRANT_DATABASE_URL": world.databaseURL, "EXCHANGE_TIMEOUT": "2",
            ]) { $1 }
            let output = Pipe()
            process.standardOutput = output
            process.standardError = output
            let status = try await withCheckedThrowingContinuation {
                (continuation: CheckedContinuation<(Int32, String), any Error>) in
                process.terminationHandler = { ended in
                    let text = (try? output.fileHandleForReading.readToEnd()).map {
                        String(decoding: $0, as: UTF8.self)
                    }
                    continuation.resume(returning: (ended.terminationStatus, text ?? ""))
                }
                do { try process.run() } catch { continuation.resume(throwing: error) }
            }
            #expect(status.0 == 0, "\(status.1)")
        }
    }
}
