import Foundation
import Logging
import TestSupport
import Testing

@testable import Benchmark

/// Measurements with numbers too small to mean anything: that they end, count right, and fail when they should.
@Suite(.serialized, .timeLimit(.minutes(5))) struct RefreshBenchmarkTests {
    private let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private func options(_ kinds: [RefreshBenchmarkOptions.Kind]) async throws -> RefreshBenchmarkOptions {
        var options = RefreshBenchmarkOptions()
        options.url = try await TestCluster.shared.url()
        options.durable = false
        options.kinds = kinds
        options.latencies = [5]
        options.connections = 60
        options.rounds = 1
        options.concurrency = 20
        options.databaseConnections = 6
        options.program = ShapeTests.program
        return options
    }

    @Test func `each class reports its rate, what each process used, and what limits it`() async throws {
        let report = try await RefreshBenchmark(try await options([.replayable, .rotatingTLS]), logger: quiet).run()
        #expect(report.figures.map(\.shape) == ["refresh replayable", "refresh rotating-tls"])
        for figure in report.figures {
            #expect(figure.measure("rate")?.median ?? 0 > 0)
            for name in ["worker", "Postgres", "scheduler", "provider", "machine busy"] {
                #expect(figure.measure(name) != nil)
            }
            #expect(figure.settings.contains("limited by"))
        }
    }

    @Test func `connections that are not refreshed in time are a failure, not a figure`() async throws {
        var options = try await options([.replayable])
        options.latencies = [60_000]
        options.patience = .milliseconds(600)
        await #expect(throws: BenchmarkError.self) { try await RefreshBenchmark(options, logger: quiet).run() }
    }

    @Test func `a sweep is smooth and reads its indexes`() async throws {
        var options = SweepBenchmarkOptions()
        options.url = try await TestCluster.shared.url()
        options.durable = false
        options.connections = 20_000
        let text = try await SweepBenchmark(options, logger: quiet).run()
        #expect(text.contains("peak / mean 1."))
        #expect(text.contains("all are due, after a day's downtime"))
        #expect(text.contains("2 closing windows first"))
    }
}
