import CLibPQ
import Logging
import Pacing
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// One libpq connection with its one user: the thread that calls it. Every call may block, but only in `wait`, which ends
/// at a deadline, a cancellation or a close.
///
/// A statement that must stop is cancelled at the server (PQcancel, on a thread of its own, since it connects anew), and
/// its answer is awaited, so that the connection can be used again. A server that does not answer in `cancelGrace` loses
/// the connection. A cancel request on its way is awaited before the next statement, or it would hit that.
final class Session {
    enum Stop: Equatable { case no, timedOut, cancelled }

    let configuration: PostgresConfiguration
    let logger: Logger
    let interrupter: Interrupter
    var handle: OpaquePointer?
    /// Unique in this process for every server session; 0 before the first.
    var number: UInt64 = 0
    var prepared = PreparedStatements()
    var encoder = ParameterEncoder()
    let notices: NoticeSink
    /// Set while a transaction or COPY has the session to itself: then a lost connection is not made anew, for the rest
    /// would run outside it.
    var isPinned = false
    /// A transaction has begun for its user, but not yet at the server: `BEGIN` travels with its first statement, which
    /// saves a round trip.
    var owesBegin = false
    var connectFailures = 0
    var connectNotBefore: Int64 = 0
    /// Whom the connect under way is talking to.
    var currentHost = HostList.Host(name: "", port: "")

    /// When the exchange under way has to end, in monotonic nanoseconds.
    var deadline: Int64 = .max
    /// What the exchange under way is called in errors.
    var statement = ""
    var stop = Stop.no
    private var giveUpAt: Int64 = .max
    private var cancelAgainAt: Int64 = .max
    private let polls = UnsafeMutablePointer<pollfd>.allocate(capacity: 2)

    static let numbers = Atomic<UInt64>(0)
    /// How long a cancelled statement may take to answer.
    static let cancelGrace: Int64 = 2_000_000_000
    /// A cancel request that reaches the server before its statement does is ignored there, so it is repeated.
    static let cancelInterval: Int64 = 200_000_000

    init(_ configuration: PostgresConfiguration, interrupter: Interrupter, logger: Logger) {
        self.configuration = configuration
        self.interrupter = interrupter
        self.logger = logger
        notices = NoticeSink(logger)
        polls.initialize(repeating: pollfd(), count: 2)
        polls[1] = pollfd(fd: interrupter.descriptor, events: Int16(POLLIN), revents: 0)
    }

    deinit {
        if let handle { PQfinish(handle) }
        polls.deallocate()
    }

    /// Ends the server session; the next use opens another.
    func drop() {
        if let handle { PQfinish(handle) }
        handle = nil
        prepared.removeAll()
    }

    var isOpen: Bool { handle.map { PQstatus($0) == CONNECTION_OK } ?? false }
    var transactionStatus: PGTransactionStatusType { handle.map { PQtransactionStatus($0) } ?? PQTRANS_UNKNOWN }

    /// Sets name and time limit of the exchange that begins.
    func begin(_ statement: String, within limit: Duration?) {
        self.statement = statement
        stop = .no
        giveUpAt = .max
        cancelAgainAt = .max
        guard let limit else { return deadline = .max }
        let (end, overflow) = monotonicNanoseconds().addingReportingOverflow(max(0, limit.nanoseconds))
        deadline = overflow ? .max : end
    }

    /// Waits until the socket is ready for one of `events` (POLLIN, POLLOUT) and returns which. Throws, and has dropped
    /// the connection, when waiting is over.
    @discardableResult
    func wait(_ events: Int32, cancelling: Bool = true) throws(PostgresError) -> Int32 {
        while true {
            polls[0] = pollfd(fd: handle.map { PQsocket($0) } ?? -1, events: Int16(events), revents: 0)
            let limit = stop == .no ? deadline : min(giveUpAt, cancelAgainAt)
            let ready = poll(polls, 2, Self.pollTimeout(until: limit))
            if ready < 0, errno != EINTR { throw lost("poll failed with error \(errno)") }
            if polls[1].revents != 0 {
                let signals = interrupter.take()
                if signals.isClosed {
                    drop()
                    throw failure(.closed, "the connection was closed")
                }
                if signals.isCancelled, stop == .no { try halt(.cancelled, cancelling) }
            }
            if ready > 0, polls[0].revents != 0 { return Int32(polls[0].revents) }
            let now = monotonicNanoseconds()
            if stop == .no {
                if now >= deadline { try halt(.timedOut, cancelling) }
            } else if now >= giveUpAt {
                drop()
                throw stopped("and the server did not answer the cancel request, so the connection was dropped")
            } else if now >= cancelAgainAt {
                requestCancel()
            }
        }
    }

    /// Sleeps, but not through a cancellation or a close.
    func pause(until end: Int64) throws(PostgresError) {
        while monotonicNanoseconds() < end {
            _ = poll(polls + 1, 1, Self.pollTimeout(until: end))
            let signals = interrupter.take()
            if signals.isClosed { throw failure(.closed, "the connection was closed") }
            if signals.isCancelled { throw failure(.cancelled, "the task was cancelled") }
        }
    }

    /// Waits for cancel requests on their way; they must not hit the next statement.
    func settleCancels() {
        guard stop != .no else { return }
        let end = monotonicNanoseconds() + Self.cancelGrace
        while interrupter.take().cancelsInFlight > 0 {
            guard monotonicNanoseconds() < end else { return drop() }
            _ = poll(polls + 1, 1, Self.pollTimeout(until: end))
        }
    }

    private func halt(_ reason: Stop, _ cancelling: Bool) throws(PostgresError) {
        stop = reason
        guard cancelling else {
            drop()
            throw stopped("")
        }
        giveUpAt = monotonicNanoseconds() + Self.cancelGrace
        requestCancel()
    }

    private func requestCancel() {
        cancelAgainAt = monotonicNanoseconds() + Self.cancelInterval
        guard interrupter.signals.cancelsInFlight == 0, let handle, let cancel = PQgetCancel(handle) else { return }
        let request = CancelRequest(cancel)
        interrupter.cancelStarted()
        let started = startThread("postgres-cancel") { [interrupter] in
            request.send()
            interrupter.cancelFinished()
        }
        if !started { interrupter.cancelFinished() }
    }

    /// Milliseconds rounded up, so that a wait does not end before its time; -1 waits for ever.
    private static func pollTimeout(until end: Int64) -> Int32 {
        if end == .max { return -1 }
        return Int32(clamping: max(0, (end - monotonicNanoseconds() + 999_999) / 1_000_000))
    }
}

/// Where the server session is to be cancelled.
private final class CancelRequest: @unchecked Sendable {
    // A PGcancel never changes, and PQcancel may be called from any thread (manual, "Canceling Queries in Progress").
    private let pointer: OpaquePointer

    init(_ pointer: OpaquePointer) { self.pointer = pointer }
    deinit { PQfreeCancel(pointer) }

    func send() {
        var message = [CChar](repeating: 0, count: 256)
        _ = PQcancel(pointer, &message, Int32(message.count))
    }
}
