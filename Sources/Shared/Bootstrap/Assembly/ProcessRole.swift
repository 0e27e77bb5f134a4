import Foundation

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// What a process is, as marks, the audit, logs and `pg_stat_activity` name it.
package enum ProcessRole: String, Sendable, CaseIterable {
    case front, scheduler, worker
    /// A command of an operator.
    case tool

    /// Whether answers of providers pass through it, so that it needs an escrow journal.
    package var needsJournal: Bool { self == .front || self == .worker }

    /// `worker:host:1234`.
    package var owner: String { "\(rawValue):\(ProcessInfo.processInfo.hostName):\(getpid())" }
}
