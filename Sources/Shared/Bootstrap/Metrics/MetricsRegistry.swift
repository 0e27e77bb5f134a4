import Metrics
import Synchronization

/// Keeps all series of a process and writes them in Prometheus' text form.
///
/// Made the process's factory by `MetricsSystem.bootstrap(_:)`. Every name begins with `evergrant_`; counters end in
/// `_total` and timers in `_seconds`, whether their label says so or not. A series lives as long as the process: labels come from closed lists, never
/// from a user or a connection.
package final class MetricsRegistry: MetricsFactory, Sendable {
    private struct State {
        var counters: [MetricKey: PrometheusCounter] = [:]
        var gauges: [MetricKey: PrometheusGauge] = [:]
        var histograms: [MetricKey: PrometheusHistogram] = [:]
    }

    private let state = Mutex(State())

    package init() {}

    package func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        counter(label, dimensions)
    }

    package func makeFloatingPointCounter(
        label: String, dimensions: [(String, String)]
    ) -> any FloatingPointCounterHandler { counter(label, dimensions) }

    package func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        gauge(label, dimensions)
    }

    package func makeRecorder(
        label: String, dimensions: [(String, String)], aggregate: Bool
    ) -> any RecorderHandler {
        if !aggregate { return gauge(label, dimensions) }
        let isTime = label.hasSuffix("_seconds")
        return histogram(
            MetricKey(label, dimensions),
            isTime ? PrometheusHistogram.secondsBounds : PrometheusHistogram.valueBounds)
    }

    package func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        let name = label.hasSuffix("seconds") ? label : label + "_seconds"
        return histogram(MetricKey(name, dimensions), PrometheusHistogram.secondsBounds)
    }

    // Handles are cheap and shared by key: callers make one at each use, and a series must outlive them.
    package func destroyCounter(_ handler: any CounterHandler) {}
    package func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) {}
    package func destroyMeter(_ handler: any MeterHandler) {}
    package func destroyRecorder(_ handler: any RecorderHandler) {}
    package func destroyTimer(_ handler: any TimerHandler) {}

    private func counter(_ label: String, _ dimensions: [(String, String)]) -> PrometheusCounter {
        let key = MetricKey(label.hasSuffix("total") ? label : label + "_total", dimensions)
        return state.withLock { state in
            if let known = state.counters[key] { return known }
            let new = PrometheusCounter()
            state.counters[key] = new
            return new
        }
    }

    private func gauge(_ label: String, _ dimensions: [(String, String)]) -> PrometheusGauge {
        let key = MetricKey(label, dimensions)
        return state.withLock { state in
            if let known = state.gauges[key] { return known }
            let new = PrometheusGauge()
            state.gauges[key] = new
            return new
        }
    }

    private func histogram(_ key: MetricKey, _ bounds: [Double]) -> PrometheusHistogram {
        state.withLock { state in
            if let known = state.histograms[key] { return known }
            let new = PrometheusHistogram(bounds: bounds)
            state.histograms[key] = new
            return new
        }
    }

    /// Every series at this moment, by name: the text exposition format, version 0.0.4.
    package func prometheusText() -> String {
        let (counters, gauges, histograms) = state.withLock { ($0.counters, $0.gauges, $0.histograms) }
        var families: [String: (type: String, lines: [String])] = [:]
        func add(_ key: MetricKey, _ type: String, _ lines: [String]) {
            families[key.name, default: (type, [])].lines += lines
        }
        for (key, counter) in counters {
            add(key, "counter", ["\(key.name)\(key.text()) \(Self.text(counter.value))"])
        }
        for (key, gauge) in gauges { add(key, "gauge", ["\(key.name)\(key.text()) \(Self.text(gauge.value))"]) }
        for (key, histogram) in histograms { add(key, "histogram", Self.lines(key, histogram)) }
        var text = ""
        for (name, family) in families.sorted(by: { $0.key < $1.key }) {
            if let meaning = MetricsTable.meaning(of: name) { text += "# HELP \(name) \(meaning)\n" }
            text += "# TYPE \(name) \(family.type)\n"
            let isHistogram = family.type == "histogram"
            text += (isHistogram ? family.lines : family.lines.sorted()).joined(separator: "\n") + "\n"
        }
        return text
    }

    private static func lines(_ key: MetricKey, _ histogram: PrometheusHistogram) -> [String] {
        let reading = histogram.current
        var cumulated: UInt64 = 0
        var lines: [String] = []
        for (bound, count) in zip(histogram.bounds, reading.counts) {
            cumulated += count
            lines.append("\(key.name)_bucket\(key.text(.init(name: "le", value: text(bound)))) \(cumulated)")
        }
        lines.append("\(key.name)_bucket\(key.text(.init(name: "le", value: "+Inf"))) \(reading.count)")
        lines.append("\(key.name)_sum\(key.text()) \(text(reading.sum))")
        lines.append("\(key.name)_count\(key.text()) \(reading.count)")
        return lines
    }

    /// Whole numbers without a fraction.
    private static func text(_ value: Double) -> String {
        guard let whole = Int64(exactly: value) else { return value.description }
        return String(whole)
    }
}
