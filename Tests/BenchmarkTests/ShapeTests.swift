import Foundation
import Logging
import Postgres
import TestSupport
import Testing

@testable import Benchmark

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// Runs shapes with numbers too small to mean anything: that they end, count their jobs right and report every side.
@Suite(.serialized) struct ShapeTests {
    /// On the tests' server: a private one takes seconds to make.
    static func options(_ shapes: QueueShape...) async throws -> QueueBenchmarkOptions {
        var options = QueueBenchmarkOptions()
        options.url = try await TestCluster.shared.url()
        options.shapes = shapes
        options.durable = false
        options.seconds = 0.2
        options.pairs = 2
        options.batches = [1, 10]
        options.runners = 2
        options.exchanges = 1
        options.enqueuers = 2
        options.jobs = 1000
        options.backlog = 2000
        options.holdSeconds = 1.2
        options.probes = 10
        options.kills = 1
        options.beatInterval = .milliseconds(300)
        options.patience = .seconds(2)
        options.noise = 500
        options.singles = 3
        options.childCommand = [program, "bench", "child"]
        return options
    }

    /// The executable that was built beside the tests.
    static let program: String = {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        let tests = String(decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return URL(filePath: tests).deletingLastPathComponent().appending(path: "evergrant").path
    }()

    static func run(_ options: QueueBenchmarkOptions) async throws -> QueueReport {
        try await QueueBenchmark(options, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }).run()
    }

    @Test func `life reports our side and the ceiling at each batch with a ratio for each pair`() async throws {
        // A fifth of a second may pass without a batch on a busy machine.
        var options = try await Self.options(.life)
        options.seconds = 1
        let report = try await Self.run(options)
        for batch in [1, 10] {
            let figures = report.figures.filter { $0.variant == "batch \(batch)" }
            let subjects = Set(figures.map(\.subject))
            #expect(subjects == [LifeShape.ours, LifeShape.ceiling, "libpq in C, two commits", "Postgres module"])
            for figure in figures {
                let rate = try #require(figure.measure("rate"))
                #expect(rate.samples.count == 2)
                #expect(rate.lowest > 0)
                #expect(figure.measure("of C")?.samples.count == 2)
                #expect(figure.measure("server") != nil)
            }
        }
        #expect(report.text.contains("== life, batch 10"))
        let text = try JSONEncoder().encode(report)
        let again = try JSONDecoder().decode(QueueReport.self, from: text)
        #expect(again.figures.count == report.figures.count)
    }

    @Test func `a burn-down finishes every job on both sides`() async throws {
        let report = try await Self.run(try await Self.options(.burndown))
        #expect(report.figures.map(\.subject) == ["libpq in C", LifeShape.ours])
        #expect(report.figures.allSatisfy { $0.variant == "1000 jobs, batch 100" })
    }

    @Test func `backlog compares claims from an empty lane, before jobs and behind dead ones`() async throws {
        let report = try await Self.run(try await Self.options(.backlog))
        #expect(report.figures.map(\.subject).count == 4)
        for figure in report.figures.prefix(3) { #expect(figure.measure("of empty")?.samples.count == 2) }
    }

    @Test func `held-snapshot tells what is kept, with and without the reader`() async throws {
        let report = try await Self.run(try await Self.options(.heldSnapshot))
        #expect(report.figures.count == 4)
        #expect(report.figures.allSatisfy { $0.measure("kept") != nil })
    }

    @Test func `pickup times every job, idle and at half load, from another process and by SQL`() async throws {
        let report = try await Self.run(try await Self.options(.pickup))
        #expect(report.figures.map(\.variant) == ["idle", "idle", "half load", "half load"])
        #expect(report.figures.allSatisfy { $0.measure("jobs")?.median == 10 })
    }

    @Test func `rescue restarts every job of a killed process`() async throws {
        let report = try await Self.run(try await Self.options(.rescue))
        let last = try #require(report.figures.first?.measure("last job restarts"))
        // It is dead no sooner than its beat stood still for the patience.
        #expect(last.lowest > 1)
    }

    @Test func `wal on a private server has bytes with full-page images and without`() async throws {
        var options = try await Self.options(.wal)
        options.url = nil
        options.batches = [10]
        let report = try await Self.run(options)
        #expect(report.figures.map(\.subject) == ["full-page images on", "full-page images off"])
        #expect(report.figures.allSatisfy { ($0.measure("WAL")?.lowest ?? 0) > 0 })
        #expect(report.conditions.settings["fsync"] == "off")
        #expect(report.conditions.sync != nil)
    }

    @Test func `noisy runs each single job beside the backlog`() async throws {
        let report = try await Self.run(try await Self.options(.noisy))
        #expect(report.figures.first?.measure("jobs")?.median == 3)
    }

    @Test func `limits hold, in number and in rate, and every job under them runs`() async throws {
        var options = try await Self.options(.limits)
        options.jobs = 2000
        let report = try await Self.run(options)
        let most = try #require(report.figures.first?.measure("most at once")).median
        #expect((1...Double(LimitsShape.concurrency)).contains(most))
        #expect(report.figures.suffix(2).map(\.subject) == ["no key", "one key with room for all"])
    }

    @Test func `a shape that needs a second process says so when there is no command for it`() async throws {
        var options = try await Self.options(.rescue)
        options.childCommand = []
        let frozen = options
        await #expect(throws: BenchmarkError.self) { try await Self.run(frozen) }
    }

    @Test func `nothing is left of a private server, however the measurement ends`() async throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "evergrant-bench-\(UUID().uuidString)")
        var options = try await Self.options(.rescue)
        options.childCommand = ["/nonexistent"]
        options.url = nil
        options.directory = directory.path
        let frozen = options
        await #expect(throws: BenchmarkError.self) { try await Self.run(frozen) }
        #expect(!FileManager.default.fileExists(atPath: directory.path))
    }

    @Test func `nothing is left on a server that was named, however the measurement ends`() async throws {
        var options = try await Self.options(.noisy, .rescue)
        options.childCommand = []
        let frozen = options
        await #expect(throws: BenchmarkError.self) { try await Self.run(frozen) }
        try await withTestDatabase { database in
            let rows = try await database.pool().execute(
                PostgresStatement(
                    "find left", "select count(*) from pg_database where datname like 'evergrant_bench_%'"))
            let left = try #require(rows.first).decode(Int.self)
            #expect(left == 0)
        }
    }
}
