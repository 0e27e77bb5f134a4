import Foundation
import Synchronization
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// The executable that was built beside the tests, run as a user runs it.
enum Program {
    /// Beside the test bundle: `.build…/debug/evergrant`.
    static let path: String = {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        let tests = String(decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return URL(filePath: tests).deletingLastPathComponent().appending(path: "evergrant").path
    }()

    struct Ending: Sendable {
        let status: Int32
        let output: String
        let errors: String
    }

    /// Runs it to its end in a directory of its own.
    /// - Parameter environment: all it gets besides PATH, HOME and what turns crash reports off.
    static func run(
        _ arguments: [String], environment: [String: String] = [:], files: [String: String] = [:]
    ) async throws -> Ending {
        let folder = FileManager.default.temporaryDirectory.appending(path: "evergrant-cli-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        for (name, text) in files {
            try text.write(to: folder.appending(path: name), atomically: false, encoding: .utf8)
        }
        let process = Process()
        process.executableURL = URL(filePath: path)
        process.arguments = arguments
        process.currentDirectoryURL = folder
        process.environment = environment.merging([
            "PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin", "HOME": folder.path,
        ]) { own, _ in own }
        process.standardInput = FileHandle.nullDevice
        let output = folder.appending(path: ".stdout")
        let errors = folder.appending(path: ".stderr")
        _ = FileManager.default.createFile(atPath: output.path, contents: nil)
        _ = FileManager.default.createFile(atPath: errors.path, contents: nil)
        process.standardOutput = try FileHandle(forWritingTo: output)
        process.standardError = try FileHandle(forWritingTo: errors)
        let status: Int32 = try await withCheckedThrowingContinuation { continuation in
            process.terminationHandler = { continuation.resume(returning: $0.terminationStatus) }
            do { try process.run() } catch {
                process.terminationHandler = nil
                continuation.resume(throwing: error)
            }
        }
        return Ending(
            status: status, output: try String(contentsOf: output, encoding: .utf8),
            errors: try String(contentsOf: errors, encoding: .utf8))
    }

    /// A keyring's text that opens nothing.
    static let strangeKeyring = "strange QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU= primary"
    /// Nobody listens there.
    static let deadDatabase = "postgres://nobody@127.0.0.1:1/nothing"
}
