import Pacing
import Synchronization

/// What the loops of one runner share. Every access is one short critical section; nothing waits inside.
final class RunnerState: Sendable {
    enum Phase: Sendable { case running, draining, stopped }

    struct Values: Sendable {
        var phase = Phase.running
        var drainSince: BootInstant?
        var workerID: Int64 = 0
        /// When the last beat that went through was sent.
        var lastBeat: BootInstant?
        var ledger = LeaseLedger()
        var lanes = LaneTable()
        /// Since when a slot has been free that no claim has seen.
        var freedAt: BootInstant?
        var tasks: [Int64: RunningTask] = [:]
        var cancelled: Set<Int64> = []
        /// Exchanges begun and ended, to tell a lease whose claim is under way from one whose answer was lost.
        var exchangesBegun = 0
        var exchangesEnded = 0
        /// Leases not in the ledger at the last look, and how many exchanges had begun then.
        var strays: (leases: Set<Int64>, exchangesBegun: Int) = ([], 0)
    }

    private let values = Mutex(Values())
    let configuration: JobRunnerConfiguration
    /// Rung when a lease can be settled whole, a slot becomes free, or jobs may have come.
    let exchangeBell = Bell()
    /// Rung when a lease can be settled in part.
    let settleBell = Bell()
    /// Rung when jobs were claimed.
    let scoutBell = Bell()
    /// Rung when the runner stops.
    let beatBell = Bell()

    init(_ configuration: JobRunnerConfiguration) { self.configuration = configuration }

    func withLock<Result>(_ body: (inout sending Values) -> sending Result) -> sending Result {
        values.withLock(body)
    }

    func ringAll() {
        exchangeBell.ring()
        settleBell.ring()
        scoutBell.ring()
        beatBell.ring()
    }

    /// Stops claiming. Idempotent.
    func drain() {
        withLock {
            if $0.phase == .running {
                $0.phase = .draining
                $0.drainSince = .now()
            }
        }
        ringAll()
    }

    func stop() {
        withLock { $0.phase = .stopped }
        ringAll()
    }

    var phase: Phase { withLock { $0.phase } }

    /// The lease goes in part from now on; false when the job is not ours any more.
    func touch(_ job: LeasedJob) -> Bool {
        withLock { $0.ledger.touch(job.jobID, of: job.lease.leaseID) }
    }

    /// Takes in what became of a job.
    func finish(_ job: LeasedJob, _ settlement: Settlement?, trusted: Bool = false) {
        let now = BootInstant.now()
        let (readiness, freed) = withLock { values in
            let readiness = values.ledger.finish(
                job.jobID, of: job.lease.leaseID, settlement, trusted: trusted, at: now)
            let freed = values.freedAt == nil
            if freed { values.freedAt = now }
            return (readiness, freed)
        }
        if readiness == .whole || freed { exchangeBell.ring() }
        if readiness != .whole { settleBell.ring() }
    }
}

/// A running handler's task, to cancel it by its job.
struct RunningTask: @unchecked Sendable {
    // `cancel` of an UnsafeCurrentTask may be called from any task while its own is running; entries are removed, under
    // the lock they are used under, before their task ends.
    let task: UnsafeCurrentTask
}
