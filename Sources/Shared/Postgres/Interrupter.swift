import CLibPQ
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// Ends a wait of the connection's thread from outside: for a cancelled task, a close, a finished cancel request.
///
/// Every exchange with the server has a ticket, and a cancellation names its ticket, so that one that comes late does not
/// hit the next exchange. The state is set before the descriptor is signalled, and read after it is drained.
final class Interrupter: Sendable {
    struct Signals {
        var isCancelled = false
        var isClosed = false
        /// Cancel requests on their way to the server.
        var cancelsInFlight = 0
    }
    private struct State {
        var ticket: UInt64 = 0
        var signals = Signals()
    }
    private let state = Mutex(State())
    private let tickets = Atomic<UInt64>(0)
    /// Readable when there are news.
    let descriptor = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))

    deinit { closeDescriptor(descriptor) }

    /// A ticket for an exchange about to begin.
    func ticket() -> UInt64 { tickets.wrappingAdd(1, ordering: .relaxed).newValue }

    /// From here `cancel(ticket)` is heard. On the connection's thread.
    func begin(_ ticket: UInt64) -> Signals {
        state.withLock {
            $0.ticket = ticket
            $0.signals.isCancelled = false
            return $0.signals
        }
    }

    /// From here `cancel` of the last ticket does nothing.
    func end() { state.withLock { $0.ticket = 0 } }

    func cancel(_ ticket: UInt64) {
        let heard = state.withLock {
            if $0.ticket == ticket { $0.signals.isCancelled = true }
            return $0.ticket == ticket
        }
        if heard { signal() }
    }

    /// For good.
    func close() {
        state.withLock { $0.signals.isClosed = true }
        signal()
    }

    func cancelStarted() { state.withLock { $0.signals.cancelsInFlight += 1 } }

    func cancelFinished() {
        state.withLock { $0.signals.cancelsInFlight -= 1 }
        signal()
    }

    var signals: Signals { state.withLock { $0.signals } }

    /// The signals, after the descriptor was drained.
    func take() -> Signals {
        var count: UInt64 = 0
        _ = read(descriptor, &count, 8)
        return signals
    }

    private func signal() {
        var one: UInt64 = 1
        _ = write(descriptor, &one, 8)
    }
}
