import Foundation

/// A program that a test runs beside its front.
enum ChildProcess {
    /// - Returns: its exit status, and all it printed.
    static func run(
        _ program: String, _ arguments: [String], environment: [String: String] = [:]
    ) async throws -> (status: Int32, text: String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        return try await withCheckedThrowingContinuation { continuation in
            do { try process.run() } catch {
                continuation.resume(throwing: error)
                return
            }
            // Reads while it runs: a full pipe would stop it.
            Thread.detachNewThread {
                let text = (try? output.fileHandleForReading.readToEnd()).map { String(decoding: $0, as: UTF8.self) }
                process.waitUntilExit()
                continuation.resume(returning: (process.terminationStatus, text ?? ""))
            }
        }
    }
}
