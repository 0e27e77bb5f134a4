#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// A moment on `CLOCK_BOOTTIME`: it goes on while the machine sleeps and is never set (clock_gettime(2)), so a process
/// that slept through a deadline knows it. Comparable within one boot of one machine only.
package struct BootInstant: Sendable, Hashable, Comparable {
    package let nanoseconds: Int64

    package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    package static func now() -> BootInstant {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return BootInstant(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
    }

    package func advanced(by duration: Duration) -> BootInstant {
        BootInstant(nanoseconds: nanoseconds + duration.nanoseconds)
    }

    package func duration(to other: BootInstant) -> Duration { .nanoseconds(other.nanoseconds - nanoseconds) }

    package static func < (left: BootInstant, right: BootInstant) -> Bool { left.nanoseconds < right.nanoseconds }
}

extension Duration {
    /// Whole nanoseconds; saturates at ±292 years.
    package var nanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        if overflow { return seconds < 0 ? .min : .max }
        return product + attoseconds / 1_000_000_000
    }

    /// Fractional seconds.
    package var seconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }

    /// Whole milliseconds, rounded up, so that a wait is never cut to zero.
    package var milliseconds: Int64 { (nanoseconds + 999_999) / 1_000_000 }
}
