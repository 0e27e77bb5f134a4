import CLibPQ
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// The serial thread of one connection. libpq blocks it, so it is none of the cooperative pool's, and everything the
/// connection's actor does runs here.
final class ConnectionThread: SerialExecutor {
    private struct Inbox {
        var jobs: [UnownedJob] = []
        var sleeping = false
        var stopping = false
    }
    private let inbox = Mutex(Inbox())
    private let wake = eventfd(0, Int32(EFD_CLOEXEC))
    private let identity = Atomic<UInt>(0)

    init() {
        // The thread keeps the executor alive until `stop`. Without a thread no job would ever run, and there is no
        // caller to tell: the process is out of resources.
        precondition(startThread("postgres", { self.run() }), "the system has no thread left for a database connection")
    }

    deinit { closeDescriptor(wake) }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let asleep = inbox.withLock { inbox in
            inbox.jobs.append(job)
            defer { inbox.sleeping = false }
            return inbox.sleeping
        }
        if asleep { signal() }
    }

    /// Ends the thread after the jobs at hand. For the actor's `deinit`: no job can follow.
    func stop() {
        inbox.withLock {
            $0.stopping = true
            $0.sleeping = false
        }
        signal()
    }

    func isSameExclusiveExecutionContext(other: ConnectionThread) -> Bool { self === other }
    func checkIsolated() { precondition(isCurrent, "not on the thread of the connection") }
    func isIsolatingCurrentContext() -> Bool? { isCurrent }
    private var isCurrent: Bool { identity.load(ordering: .relaxed) == UInt(pthread_self()) }

    private func signal() {
        var one: UInt64 = 1
        _ = write(wake, &one, 8)
    }

    private func run() {
        identity.store(UInt(pthread_self()), ordering: .relaxed)
        let executor = asUnownedSerialExecutor()
        var jobs: [UnownedJob] = []
        while true {
            let stopping = inbox.withLock { inbox in
                swap(&jobs, &inbox.jobs)
                inbox.sleeping = jobs.isEmpty && !inbox.stopping
                return inbox.stopping
            }
            if jobs.isEmpty {
                if stopping { return }
                var count: UInt64 = 0
                _ = read(wake, &count, 8)
                continue
            }
            // Without the task executor's form: tasks seldom prefer one, and then awaits within the actor stay free.
            for job in jobs { job.runSynchronously(on: executor) }
            jobs.removeAll(keepingCapacity: true)
        }
    }
}
