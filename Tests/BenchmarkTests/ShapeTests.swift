import Logging
import Testing

@testable import Benchmark

/// Runs shapes with numbers too small to mean anything: that they end, count their jobs right and report every side.
@Suite(.serialized) struct ShapeTests {
    static func options(_ shapes: QueueShape...) -> QueueBenchmarkOptions {
        var options = QueueBenchmarkOptions()
        options.shapes = shapes
        options.durable = false
        options.seconds = 0.2
        options.pairs = 2
        options.batches = [1, 10]
        options.runners = 2
        options.enqueuers = 2
        return options
    }

    static func run(_ options: QueueBenchmarkOptions) async throws -> QueueReport {
        try await QueueBenchmark(options, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }).run()
    }

    @Test func `life reports our side and the ceiling at each batch with a ratio for each pair`() async throws {
        let report = try await Self.run(Self.options(.life))
        for batch in [1, 10] {
            let figures = report.figures.filter { $0.variant == "batch \(batch)" }
            let subjects = Set(figures.map(\.subject))
            #expect(subjects == [LifeShape.ours, LifeShape.ceiling, "libpq in C, two commits", "Postgres module"])
            for figure in figures {
                let rate = try #require(figure.measure("rate"))
                #expect(rate.samples.count == 2)
                #expect(rate.lowest > 0)
                #expect(figure.measure("of C")?.samples.count == 2)
            }
        }
        #expect(report.conditions.settings["fsync"] == "off")
        #expect(report.text.contains("== life, batch 10"))
    }
}
