import Logging

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

extension LogConfiguration {
    /// Whether lines are text: asked for, or `auto` with standard error on a terminal.
    package var writesText: Bool {
        switch format {
        case .text: true
        case .json: false
        case .auto: isatty(STDERR_FILENO) == 1
        }
    }

    /// A handler of this configuration for a logger of that name.
    package func handler(label: String, sink: any LogSink = StandardErrorSink()) -> any LogHandler {
        if writesText { return TextLogHandler(label: label, level: level, sink: sink) }
        return JSONLogHandler(label: label, level: level, sink: sink)
    }

    /// Makes this configuration the process's, for loggers that libraries make by themselves, and returns the
    /// process's own logger. Once a process; a command does it first of all.
    package func bootstrap(label: String) -> Logger {
        LoggingSystem.bootstrap { handler(label: $0) }
        return Logger(label: label)
    }
}
