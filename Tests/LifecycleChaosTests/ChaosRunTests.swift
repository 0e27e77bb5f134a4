import Foundation
import LifecycleSupport
import Testing

@testable import LifecycleChaos

/// Short runs of the executable that was built beside the tests; `./dev chaos lifecycle --minutes N` makes long ones.
@Suite(.timeLimit(.minutes(5))) struct LifecycleChaosRunTests {
    @Test func `a fleet killed, stopped and cut off at every step loses no grant and tells no user falsely`()
        async throws
    {
        let report = try await ChaosRun.report(["--seconds", "12", "--histories", "0", "--workers", "3", "--seed", "2"])
        let fleet = try #require(report.fleet)
        #expect(fleet.isClean, "\(report.text)")
        #expect(fleet.refreshes > 0)
        #expect(!fleet.disturbances.isEmpty)
    }

    @Test func `histories of one connection, drawn from a seed, leave nothing that must not be`() async throws {
        let report = try await ChaosRun.report(["--seconds", "0", "--histories", "60", "--seed", "20"])
        let histories = try #require(report.histories)
        #expect(histories.played == 60)
        #expect(histories.reckoning.isClean, "\(report.text)")
    }

    @Test func `an outage of the database loses no refresh in flight, and no token is presented twice`() async throws {
        let report = try await ChaosRun.report(
            ["--seconds", "0", "--histories", "0", "--outage", "4", "--refreshes", "120"])
        let outage = try #require(report.outage)
        #expect(outage.isClean, "\(report.text)")
        #expect(outage.refreshes == 120)
    }

    @Test func `a failover to a standby that lacks the last commits loses no grant`() async throws {
        let report = try await ChaosRun.report(
            ["--seconds", "0", "--histories", "0", "--failover", "--workers", "2"])
        let failover = try #require(report.failover)
        #expect(failover.generationsLost > 0)
        #expect(failover.isClean, "\(report.text)")
    }

    /// The histories can fail: without a guard they find what it prevents.
    @Test func `histories without the second test of a refusal find false breaks`() async throws {
        let report = try await ChaosRun.report(
            ["--seconds", "0", "--histories", "60", "--seed", "20", "--without", "suspicion"])
        let histories = try #require(report.histories)
        #expect(histories.reckoning.falseBreaks > 0, "\(report.text)")
        #expect(!histories.stories.isEmpty)
    }
}

/// A run of the executable that was built beside the tests.
enum ChaosRun {
    struct Failed: Error, CustomStringConvertible {
        let description: String
    }

    /// Its report; throws when the run could not be made.
    static func report(_ arguments: [String]) async throws -> Report {
        let path = NSTemporaryDirectory() + "/lifecycle-chaos-report-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let process = Process()
        process.executableURL = URL(
            filePath: try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        )
        .deletingLastPathComponent().appending(path: "lifecycle-chaos")
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
            throw Failed(description: "lifecycle-chaos ended with status \(process.terminationStatus): \(text)")
        }
        return try JSONDecoder().decode(Report.self, from: Data(contentsOf: URL(filePath: path)))
    }
}
