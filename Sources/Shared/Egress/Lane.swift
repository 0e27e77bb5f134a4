import CLibCurl
import Pacing
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// One libcurl multi handle, with the connections of one address policy, on one thread.
///
/// The guard looks at an address when a socket is opened, never again; a connection in the cache would carry a strict
/// request to an address that only a lenient one may reach. So a lane has one policy for life, and connections never move
/// between lanes. `curl_multi_poll` waits for one multi handle, hence the thread each; a process has a handful.
final class Lane: @unchecked Sendable {
    // What is neither constant nor behind `inbox` belongs to the lane's thread.
    enum Command: Sendable {
        case start(Transfer)
        /// The reader has taken bytes, or the source has brought some.
        case resume(Transfer)
        case cancel(Transfer)
    }

    private struct Inbox {
        var commands: [Command] = []
        var handles: [EasyHandle] = []
        /// The thread will look at the commands before it waits again.
        var isAwake = true
        var isStopping = false
        /// The multi handle is no more.
        var isStopped = false
        var stopWaiters: [CheckedContinuation<Void, Never>] = []

        /// Takes it upon the caller to wake the thread; false when it is awake.
        mutating func wakes() -> Bool {
            defer { isAwake = true }
            return !isAwake
        }
    }

    let configuration: EgressConfiguration
    let guardian: AddressGuard
    private let inbox = Mutex(Inbox())
    private let multi: UnsafeMutableRawPointer
    /// Wakes the thread. libcurl's own `curl_multi_wakeup` would have to be called with the inbox locked, because it
    /// must not outlive the multi handle, and the woken thread would run into that lock.
    private let bell: Int32
    private var active: [UnsafeMutableRawPointer: Transfer] = [:]
    /// Streams with a head or bytes to hand out after this round.
    var touched: [Transfer] = []
    /// Not later than the earliest `headDeadline` of an active stream.
    private var nextDeadline: BootInstant?

    init(policy: AddressPolicy, configuration: EgressConfiguration) throws(EgressFailure) {
        self.configuration = configuration
        guardian = try AddressGuard(policy)
        bell = evergrant_bell_open()
        guard bell >= 0, Libcurl.isReady, let multi = curl_multi_init() else {
            if bell >= 0 { close(bell) }
            throw EgressFailure(.local, "libcurl could not be started")
        }
        self.multi = multi
        _ = evergrant_multi_set_long(multi, CURLMOPT_PIPELINING, Int(CURLPIPE_MULTIPLEX))
        _ = evergrant_multi_set_long(multi, CURLMOPT_MAXCONNECTS, max(1, configuration.keptConnections))
        var thread = pthread_t()
        let context = Unmanaged.passRetained(self)
        let result = pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                Unmanaged<Lane>.fromOpaque(context).takeRetainedValue().run()
                return nil
            }, context.toOpaque())
        guard result == 0 else {
            context.release()
            curl_multi_cleanup(multi)
            throw EgressFailure(.local, "no thread for outgoing requests: \(String(cString: strerror(result)))")
        }
        pthread_detach(thread)
    }

    deinit { close(bell) }

    // MARK: any thread

    /// An easy handle of the pool, or a new one; nil when there is no memory.
    func handle() -> EasyHandle? { inbox.withLock { $0.handles.popLast() } ?? EasyHandle() }

    func post(_ command: Command) {
        let (isStopped, sleeps) = inbox.withLock { inbox in
            guard !inbox.isStopped else { return (true, false) }
            inbox.commands.append(command)
            return (false, inbox.wakes())
        }
        if sleeps { evergrant_bell_ring(bell) }
        if isStopped, case .start(let transfer) = command { transfer.refuse(.closed) }
    }

    /// Ends what is active as `closed` and refuses what comes, without waiting.
    func stop() {
        let sleeps = inbox.withLock { inbox in
            inbox.isStopping = true
            return inbox.wakes()
        }
        if sleeps { evergrant_bell_ring(bell) }
    }

    /// Returns when the thread has let go of all connections.
    func stopped() async {
        await withCheckedContinuation { continuation in
            let isStopped = inbox.withLock { inbox in
                if !inbox.isStopped { inbox.stopWaiters.append(continuation) }
                return inbox.isStopped
            }
            if isStopped { continuation.resume() }
        }
    }

    // MARK: the lane's thread

    private func run() {
        // OpenSSL writes to sockets that the peer has closed; the error is enough.
        var pipe = sigset_t()
        sigemptyset(&pipe)
        sigaddset(&pipe, SIGPIPE)
        pthread_sigmask(SIG_BLOCK, &pipe, nil)
        var commands: [Command] = []
        while true {
            let isStopping = inbox.withLock { inbox in
                swap(&inbox.commands, &commands)
                return inbox.isStopping
            }
            for command in commands { obey(command) }
            commands.removeAll(keepingCapacity: true)
            if isStopping { break }
            perform()
            let timeout = expireDeadlines()
            flush()
            let waits = inbox.withLock { inbox in
                inbox.isAwake = !inbox.commands.isEmpty || inbox.isStopping
                return !inbox.isAwake
            }
            if waits {
                var extra = curl_waitfd(fd: bell, events: Int16(CURL_WAIT_POLLIN), revents: 0)
                curl_multi_poll(multi, &extra, 1, timeout, nil)
                if extra.revents != 0 { evergrant_bell_silence(bell) }
            }
        }
        tearDown()
    }

    private func obey(_ command: Command) {
        switch command {
        case .start(let transfer): start(transfer)
        case .resume(let transfer):
            guard !transfer.isEnded, active[transfer.easy.pointer] === transfer else { return }
            let code = transfer.resume()
            if code != CURLE_OK { finish(transfer, code) }
        case .cancel(let transfer) where transfer.isStarted: abort(transfer, .cancelled)
        // It comes right after, and with it the one who waits for it.
        case .cancel(let transfer): transfer.verdict = .cancelled
        }
    }

    private func start(_ transfer: Transfer) {
        transfer.isStarted = true
        guard transfer.verdict == nil else {
            transfer.end(CURLE_ABORTED_BY_CALLBACK)
            return
        }
        guard curl_multi_add_handle(multi, transfer.easy.pointer) == CURLM_OK else {
            transfer.refuse(.local)
            return
        }
        active[transfer.easy.pointer] = transfer
        if let deadline = transfer.headDeadline { nextDeadline = min(nextDeadline ?? deadline, deadline) }
    }

    private func perform() {
        var running: Int32 = 0
        let code = curl_multi_perform(multi, &running)
        if code != CURLM_OK {
            for transfer in Array(active.values) { abort(transfer, .local) }
        }
        var left: Int32 = 0
        while let message = curl_multi_info_read(multi, &left) {
            guard message.pointee.msg == CURLMSG_DONE, let easy = message.pointee.easy_handle else { continue }
            let code = message.pointee.data.result
            if let transfer = active[easy] { finish(transfer, code) }
        }
    }

    private func abort(_ transfer: Transfer, _ code: EgressFailure.Code) {
        guard !transfer.isEnded else { return }
        transfer.verdict = code
        finish(transfer, CURLE_ABORTED_BY_CALLBACK)
    }

    private func finish(_ transfer: Transfer, _ code: CURLcode) {
        let easy = transfer.easy
        let wasActive = active.removeValue(forKey: easy.pointer) != nil
        if wasActive { curl_multi_remove_handle(multi, easy.pointer) }
        transfer.end(code)
        if wasActive { recycle(easy) }
    }

    private func recycle(_ easy: EasyHandle) {
        easy.reset()
        inbox.withLock { if $0.handles.count < 128 { $0.handles.append(easy) } }
    }

    /// Ends streams whose head is late; returns the milliseconds that polling may take.
    private func expireDeadlines() -> Int32 {
        let longest: Int64 = 60_000
        guard let deadline = nextDeadline else { return Int32(longest) }
        let now = BootInstant.now()
        if deadline <= now {
            for transfer in Array(active.values) where !transfer.head.isComplete {
                if let late = transfer.headDeadline, late <= now { abort(transfer, .timedOut) }
            }
            nextDeadline = active.values.compactMap { $0.head.isComplete ? nil : $0.headDeadline }.min()
        }
        guard let next = nextDeadline else { return Int32(longest) }
        return Int32(min(longest, max(1, now.duration(to: next).milliseconds)))
    }

    private func flush() {
        guard !touched.isEmpty else { return }
        // Resuming may touch again.
        var flushed: [Transfer] = []
        swap(&touched, &flushed)
        for transfer in flushed {
            if transfer.flush() { obey(.resume(transfer)) }
        }
    }

    private func tearDown() {
        for transfer in Array(active.values) { abort(transfer, .closed) }
        let (late, waiters) = inbox.withLock { inbox in
            inbox.isStopped = true
            inbox.handles = []
            defer {
                inbox.commands = []
                inbox.stopWaiters = []
            }
            return (inbox.commands, inbox.stopWaiters)
        }
        for case .start(let transfer) in late { transfer.refuse(.closed) }
        curl_multi_cleanup(multi)
        for waiter in waiters { waiter.resume() }
    }
}

/// libcurl's own once-per-process start.
private enum Libcurl {
    static let isReady = curl_global_init(Int(CURL_GLOBAL_DEFAULT)) == CURLE_OK
}
