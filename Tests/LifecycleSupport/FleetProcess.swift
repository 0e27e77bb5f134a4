import Foundation
import TestSupport

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// One process of the fleet, of the executable that was built beside the tests; killed when it goes out of use.
package final class FleetProcess: Sendable {
    package let pid: pid_t
    package let role: String
    private let log: String
    private let process: Process

    /// - Parameters:
    ///   - url: its way to the database; nil: the world's own.
    ///   - settings: environment variables that outrank the short durations of tests.
    package init(
        _ role: String, in world: LifecycleWorld, url: String? = nil, settings: [String: String] = [:]
    ) throws {
        self.role = role
        let process = Process()
        process.executableURL = URL(filePath: Self.executable)
        process.arguments = [role]
        process.currentDirectoryURL = URL(filePath: world.directory)
        process.environment = [
            "PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin",
            "LD_LIBRARY_PATH": ProcessInfo.processInfo.environment["LD_LIBRARY_PATH"] ?? "",
            "HOME": world.directory,
            "EVERGRANT_DATABASE_URL": url ?? world.database.url,
            "EVERGRANT_KEYRING_FILES": world.directory + "/keyring",
            "EVERGRANT_ESCROW_DIRECTORY": world.directory + "/fleet-journal",
            "EVERGRANT_SANDBOX_URL": world.base,
            "EVERGRANT_SANDBOX_WINDOW": "600",
            "EVERGRANT_LIFECYCLE_ATTEMPT_LENGTH": "3s",
            "EVERGRANT_LIFECYCLE_SEND_WITHIN": "1s",
            "EVERGRANT_LIFECYCLE_REQUEST_TIMEOUT": "2s",
            "EVERGRANT_LIFECYCLE_CONFIRM_AFTER": "200ms",
            "EVERGRANT_LIFECYCLE_BACKOFF_BASE": "50ms",
            "EVERGRANT_LIFECYCLE_BACKOFF_CAP": "500ms",
            "EVERGRANT_SCHEDULER_SWEEP_INTERVAL": "100ms",
            "EVERGRANT_LOG_FORMAT": "json",
        ].merging(settings) { _, own in own }
        process.standardInput = FileHandle.nullDevice
        log = "\(world.directory)/\(role)-\(UUID().uuidString.prefix(8)).log"
        _ = FileManager.default.createFile(atPath: log, contents: nil)
        let handle = try FileHandle(forWritingTo: URL(filePath: log))
        process.standardOutput = handle
        process.standardError = handle
        try process.run()
        self.process = process
        pid = process.processIdentifier
    }

    /// `SIGKILL`, and waits until it is gone.
    package func kill() {
        Glibc.kill(pid, SIGKILL)
        process.waitUntilExit()
    }

    /// `SIGTERM`, and waits until it has drained.
    package func stop() {
        Glibc.kill(pid, SIGTERM)
        process.waitUntilExit()
    }

    /// `SIGSTOP`: it stands still and does not know.
    package func suspend() { Glibc.kill(pid, SIGSTOP) }

    /// `SIGCONT`.
    package func resume() { Glibc.kill(pid, SIGCONT) }

    package var isRunning: Bool { process.isRunning }

    /// What it wrote, for a test that fails.
    package var output: String { (try? String(contentsOfFile: log, encoding: .utf8)) ?? "" }

    deinit {
        if process.isRunning { Glibc.kill(pid, SIGKILL) }
    }

    private static let executable: String = {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        let tests = String(decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return URL(filePath: tests).deletingLastPathComponent().appending(path: "evergrant").path
    }()
}
