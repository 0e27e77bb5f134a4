import Metrics
import Synchronization

/// Counts up; never down but by a restart.
final class PrometheusCounter: CounterHandler, FloatingPointCounterHandler, Sendable {
    private let total = Mutex(0.0)

    func increment(by amount: Int64) { increment(by: Double(amount)) }
    func increment(by amount: Double) {
        guard amount > 0 else { return }
        total.withLock { $0 += amount }
    }
    func reset() { total.withLock { $0 = 0 } }

    var value: Double { total.withLock { $0 } }
}

/// Shows what was last set.
final class PrometheusGauge: RecorderHandler, MeterHandler, Sendable {
    private let current = Mutex(0.0)

    func record(_ value: Int64) { set(Double(value)) }
    func record(_ value: Double) { set(value) }
    func set(_ value: Int64) { set(Double(value)) }
    func set(_ value: Double) { current.withLock { $0 = value } }
    func increment(by amount: Double) { current.withLock { $0 += amount } }
    func decrement(by amount: Double) { current.withLock { $0 -= amount } }

    var value: Double { current.withLock { $0 } }
}

/// Counts values by upper bounds.
final class PrometheusHistogram: RecorderHandler, TimerHandler, Sendable {
    /// Of durations, in seconds: from a database call to the longest attempt.
    static let secondsBounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]
    /// Of other values: counts and sizes.
    static let valueBounds = [1.0, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000, 100_000, 1_000_000]

    struct Reading: Sendable {
        /// Values up to each bound and not up to the one before.
        var counts: [UInt64]
        /// Values beyond the last bound.
        var beyond: UInt64 = 0
        var sum = 0.0
        var count: UInt64 { counts.reduce(beyond, +) }
    }

    let bounds: [Double]
    private let reading: Mutex<Reading>

    init(bounds: [Double]) {
        self.bounds = bounds
        reading = Mutex(Reading(counts: Array(repeating: 0, count: bounds.count)))
    }

    func record(_ value: Int64) { record(Double(value)) }
    func record(_ value: Double) {
        guard value.isFinite else { return }
        let index = bounds.firstIndex { value <= $0 }
        reading.withLock { reading in
            if let index { reading.counts[index] += 1 } else { reading.beyond += 1 }
            reading.sum += value
        }
    }
    func recordNanoseconds(_ duration: Int64) { record(Double(duration) / 1e9) }

    var current: Reading { reading.withLock { $0 } }
}
