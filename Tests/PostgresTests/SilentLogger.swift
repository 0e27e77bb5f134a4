import Logging

extension Logger {
    /// Keeps test output free of expected failures.
    static var silent: Logger { Logger(label: "silent") { _ in SwiftLogNoOpLogHandler() } }
}
