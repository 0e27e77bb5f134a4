import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// Where finished lines go: standard error, or a test's memory.
package protocol LogSink: Sendable {
    /// Takes one line without its line feed. Must not fail and must not log.
    func write(_ line: String)
}

/// Standard error, one `write(2)` a line, so that lines of several processes on one pipe do not mix up to the pipe's
/// atomic size (4096 bytes, pipe(7)); within the process a lock keeps longer ones whole.
package struct StandardErrorSink: LogSink {
    private static let gate = Mutex(())

    package init() {}

    package func write(_ line: String) {
        var text = line
        text.append("\n")
        text.withUTF8 { bytes in
            Self.gate.withLock { _ in
                var rest = UnsafeRawBufferPointer(bytes)
                while !rest.isEmpty {
                    let count = Glibc.write(STDERR_FILENO, rest.baseAddress, rest.count)
                    if count > 0 {
                        rest = UnsafeRawBufferPointer(rebasing: rest[count...])
                    } else if count == 0 || errno != EINTR {
                        return  // nowhere left to say it
                    }
                }
            }
        }
    }
}
