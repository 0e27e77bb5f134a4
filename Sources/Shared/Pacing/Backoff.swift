/// Exponential backoff with full jitter: before try `n` (from 1) waits a uniform random time in
/// `0 ... min(cap, base · 2^(n-1))`. Full jitter empties a crowd of retries fastest (AWS Architecture Blog,
/// "Exponential Backoff And Jitter", 2015).
package struct Backoff: Sendable, Hashable {
    package let base: Duration
    package let cap: Duration

    package init(base: Duration, cap: Duration) {
        self.base = base
        self.cap = cap
    }

    /// The longest wait after `failures` failures in a row; `failures` below 1 counts as 1.
    package func ceiling(failures: Int) -> Duration {
        let doublings = min(max(failures, 1) - 1, 62)
        let (product, overflow) = base.nanoseconds.multipliedReportingOverflow(by: 1 << doublings)
        return overflow ? cap : min(cap, .nanoseconds(product))
    }

    /// A wait drawn by `generator`.
    package func delay(failures: Int, using generator: inout some RandomNumberGenerator) -> Duration {
        .nanoseconds(Int64.random(in: 0...max(0, ceiling(failures: failures).nanoseconds), using: &generator))
    }

    /// A wait drawn by the system's generator.
    package func delay(failures: Int) -> Duration {
        var generator = SystemRandomNumberGenerator()
        return delay(failures: failures, using: &generator)
    }
}
