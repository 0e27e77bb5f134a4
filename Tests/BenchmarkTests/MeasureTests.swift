import Testing

@testable import Benchmark

@Suite struct MeasureTests {
    @Test func `quantiles lie between neighbours by their distance`() {
        #expect([4.0, 1, 3, 2].quantile(0.5) == 2.5)
        #expect([5.0].quantile(0.99) == 5)
        #expect((0...100).map(Double.init).quantile(0.99) == 99)
        #expect([Double]().quantile(0.5) == 0)
    }

    @Test func `a table has a dash where a side has no such quantity`() {
        let text = QueueReport.text([
            Figure(
                shape: "life", variant: "batch 1", subject: "a", settings: "",
                measures: [Measure("rate", "jobs/s", [1000, 3000, 2000])]),
            Figure(
                shape: "life", variant: "batch 1", subject: "b", settings: "two tasks",
                measures: [Measure("server", "µs/job", [1.234])]),
        ])
        #expect(text.contains("2000 (1000–3000)"))
        #expect(text.contains("1.23"))
        #expect(text.contains("–"))
        #expect(text.contains("  b: two tasks"))
    }
}
