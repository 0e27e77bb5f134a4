#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// The time of a log line, in UTC by RFC 3339 with milliseconds: `2026-01-31T09:05:07.042Z`.
struct LogTime {
    private let seconds: Int
    private let milliseconds: Int

    static func now() -> LogTime {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return LogTime(seconds: time.tv_sec, milliseconds: time.tv_nsec / 1_000_000)
    }

    init(seconds: Int, milliseconds: Int) {
        self.seconds = seconds
        self.milliseconds = milliseconds
    }

    var text: String {
        var moment = seconds
        var parts = tm()
        gmtime_r(&moment, &parts)
        let date = "\(Int(parts.tm_year) + 1900)-\(padded(Int(parts.tm_mon) + 1, 2))-\(padded(Int(parts.tm_mday), 2))"
        return "\(date)T\(clock(parts))Z"
    }

    /// Time of day alone, for a terminal.
    var clockText: String {
        var moment = seconds
        var parts = tm()
        localtime_r(&moment, &parts)
        return clock(parts)
    }

    private func clock(_ parts: tm) -> String {
        let minutes = "\(padded(Int(parts.tm_hour), 2)):\(padded(Int(parts.tm_min), 2))"
        return "\(minutes):\(padded(Int(parts.tm_sec), 2)).\(padded(milliseconds, 3))"
    }

    private func padded(_ number: Int, _ width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}
