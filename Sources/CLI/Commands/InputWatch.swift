import Foundation

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// Turns the end of standard input into SIGTERM, so that a process ends with its supervisor however that ends: the
/// kernel closes the supervisor's end of the pipe even after SIGKILL. Unlike `PR_SET_PDEATHSIG` this is not tied to the
/// thread that started us, and no race at the start can miss it.
enum InputWatch {
    /// Begins to watch, and ignores SIGINT: Ctrl-C in a terminal reaches the whole group, and the order in which it
    /// stops is the supervisor's to decide.
    static func begin() -> Thread {
        signal(SIGINT, SIG_IGN)
        let thread = Thread {
            var byte: UInt8 = 0
            while true {
                let count = read(STDIN_FILENO, &byte, 1)
                if count == 0 || (count < 0 && errno != EINTR && errno != EAGAIN) { break }
            }
            kill(getpid(), SIGTERM)
        }
        thread.name = "input-watch"
        thread.stackSize = 64 * 1024
        thread.start()
        return thread
    }
}
