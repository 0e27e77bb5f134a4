import Testing

@testable import QueueChaos

/// Whole runs of processes. Longer ones: `./dev chaos queue`.
@Suite struct ChaosRunTests {
    @Test func `under every nemesis no job is lost and no effect is repeated`() async throws {
        let report = try await ChaosRun.report(["--seconds", "10", "--seed", "3"])
        #expect(report.violations.isEmpty, "\(report.text)")
        // And it was no walk in the park.
        #expect(report.count("rescued from dead workers") > 0, "\(report.text)")
        #expect(report.count("effects settled in their transaction") > 50, "\(report.text)")
        #expect(report.tried.contains(.wakeUpSeen) && report.tried.contains(.drainIsFree), "\(report.text)")
    }

    @Test func `without the low-water mark's fence a job is lost, and the checker says so`() async throws {
        let report = try await ChaosRun.report(.fence)
        #expect(report.refuted == [.nothingLost], "\(report.text)")
        // The failure is told with the history of its job.
        let told = try #require(report.violations.first)
        #expect(told.history.contains { $0.contains("asks for") } && told.history.contains { $0.contains("available") })
    }

    @Test func `a rescue in one statement runs settled jobs again, and the checker says so`() async throws {
        let report = try await ChaosRun.report(.rescue)
        #expect(report.refuted.contains(.onePlace) || report.refuted.contains(.effectOnce), "\(report.text)")
    }

    @Test func `a settle that does not look at its lease repeats effects, and the checker says so`() async throws {
        let report = try await ChaosRun.report(.settle)
        #expect(report.refuted.isSuperset(of: [.effectOnce, .oneHolderSettles]), "\(report.text)")
    }

    @Test func `an observer that takes silence for death kills the fleet, and the checker says so`() async throws {
        let report = try await ChaosRun.report(.observer)
        #expect(report.refuted == [.outageSpares], "\(report.text)")
    }

    @Test func `an enqueue that leaves taken keys alone swallows wake-ups, and the checker says so`() async throws {
        let report = try await ChaosRun.report(.keys)
        #expect(report.refuted == [.wakeUpSeen], "\(report.text)")
    }
}
