import Foundation
import TestSupport

@testable import QueueChaos

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// A run of the executable that was built beside the tests.
enum ChaosRun {
    struct Failed: Error, CustomStringConvertible {
        let description: String
    }

    /// Its report; throws when the run could not be made.
    static func report(_ arguments: [String]) async throws -> Report {
        let path = NSTemporaryDirectory() + "/queue-chaos-report-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let process = Process()
        process.executableURL = URL(filePath: try executable)
        process.arguments = arguments + ["--report", path]
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        let messages = Pipe()
        process.standardError = messages
        try await withCheckedThrowingContinuation { (ended: CheckedContinuation<Void, any Error>) in
            process.terminationHandler = { _ in ended.resume() }
            do { try process.run() } catch {
                process.terminationHandler = nil
                ended.resume(throwing: error)
            }
        }
        guard process.terminationStatus <= 1 else {
            let text = String(decoding: messages.fileHandleForReading.availableData, as: UTF8.self)
            throw Failed(description: "queue-chaos ended with status \(process.terminationStatus): \(text)")
        }
        return try JSONDecoder().decode(Report.self, from: Data(contentsOf: URL(filePath: path)))
    }

    /// The report of a short run whose queue has `fault`, on a database of the tests' server: the first of three that
    /// refutes anything, for on a busy machine the moment that a fault needs may not come in three seconds.
    static func report(_ fault: Fault) async throws -> Report {
        for seed in 1...2 {
            let report = try await report(fault, seed: seed)
            if !report.violations.isEmpty { return report }
        }
        return try await report(fault, seed: 3)
    }

    private static func report(_ fault: Fault, seed: Int) async throws -> Report {
        var arguments = [
            "--fault", fault.rawValue, "--seconds", fault == .observer ? "5" : "3", "--seed", "\(seed)", "--workers",
            "2",
        ]
        // Needs a proxy, and so a cluster of its own.
        if fault == .observer { return try await report(arguments) }
        let database = try await TestDatabase.makeMigrated()
        arguments += ["--database", database.url]
        do {
            let report = try await report(arguments)
            try await database.drop()
            return report
        } catch {
            try? await database.drop()
            throw error
        }
    }

    private static var executable: String {
        get throws {
            let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
            return URL(filePath: tests).deletingLastPathComponent().appending(path: "queue-chaos").path
        }
    }
}

extension Report {
    /// The properties that were refuted.
    var refuted: Set<Property> { Set(counts.keys.compactMap(Property.init)) }

    func count(_ name: String) -> Int { done.first { $0.name.hasSuffix(name) }.flatMap { Int($0.value) } ?? 0 }
}
