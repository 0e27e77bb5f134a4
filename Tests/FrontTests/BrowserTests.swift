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
            let ended = try await ChildProcess.run(
                try #require(Self.python), [script.path],
                environment: [
                    "EVERGRANT_URL": world.base, "EVERGRANT_API_KEY": world.key, "SANDBOX_URL": world.sandboxBase,
                    "EVERGRANT_DATABASE_URL": world.databaseURL, "EXCHANGE_TIMEOUT": "2",
                ])
            #expect(ended.status == 0, "\(ended.text)")
        }
    }
}
