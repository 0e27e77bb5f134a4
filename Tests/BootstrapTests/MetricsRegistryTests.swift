import Metrics
import Testing

@testable import Bootstrap

@Suite struct `Metrics` {
    private let registry = MetricsRegistry()

    @Test func `a counter counts up, series by labels, named as Prometheus asks`() {
        registry.makeCounter(label: "refresh.tries", dimensions: [("verdict", "dead")]).increment(by: 2)
        registry.makeCounter(label: "refresh.tries", dimensions: [("verdict", "dead")]).increment(by: 1)
        registry.makeCounter(label: "refresh.tries", dimensions: [("verdict", "a\"\\\n")]).increment(by: 1)
        #expect(
            registry.prometheusText() == """
                # TYPE evergrant_refresh_tries_total counter
                evergrant_refresh_tries_total{verdict="a\\"\\\\\\n"} 1
                evergrant_refresh_tries_total{verdict="dead"} 3

                """)
    }

    @Test func `a gauge shows what was last set`() {
        let gauge = Gauge(label: "depth", dimensions: [("queue", "default")], factory: registry)
        gauge.record(7)
        gauge.record(2.5)
        let meter = Meter(label: "evergrant_workers", factory: registry)
        meter.set(3)
        #expect(registry.prometheusText().contains("evergrant_depth{queue=\"default\"} 2.5\n"))
        #expect(registry.prometheusText().contains("evergrant_workers 3\n"))
    }

    @Test func `a timer is a histogram of seconds, cumulated`() {
        let timer = Timer(label: "evergrant_refresh_duration", factory: registry)
        timer.recordNanoseconds(1_000_000)  // on the first bound
        timer.recordNanoseconds(3_000_000)
        timer.recordNanoseconds(400_000_000_000)  // beyond the last
        let lines = registry.prometheusText().split(separator: "\n").map(String.init)
        #expect(lines.first == "# TYPE evergrant_refresh_duration_seconds histogram")
        #expect(lines[1] == "evergrant_refresh_duration_seconds_bucket{le=\"0.001\"} 1")
        #expect(lines.contains("evergrant_refresh_duration_seconds_bucket{le=\"0.005\"} 2"))
        #expect(lines.contains("evergrant_refresh_duration_seconds_bucket{le=\"300\"} 2"))
        #expect(lines.contains("evergrant_refresh_duration_seconds_bucket{le=\"+Inf\"} 3"))
        #expect(lines.contains("evergrant_refresh_duration_seconds_sum 400.004"))
        #expect(lines.last == "evergrant_refresh_duration_seconds_count 3")
    }

    @Test func `a recorder of seconds is a histogram of seconds, and a known name has its meaning`() {
        Recorder(label: "job_wait_seconds", dimensions: [], aggregate: true, factory: registry).record(0.002)
        let text = registry.prometheusText()
        #expect(text.hasPrefix("# HELP evergrant_job_wait_seconds From enqueue"))
        #expect(text.contains("evergrant_job_wait_seconds_bucket{le=\"0.0025\"} 1\n"))
    }

    @Test func `nothing measured is an empty text`() {
        #expect(registry.prometheusText() == "")
    }
}
