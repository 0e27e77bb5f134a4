import Pacing
import Synchronization

/// What the loops of one runner share. Every access is one short critical section; nothing waits inside.
final class RunnerState: Sendable {
    enum Phase: Sendable { case running, draining, stopped }

    /// When a runner looks for work.
    struct Searching: Sendable {
        /// The next round searches, beside a backlog too: a lane that has just filled gets its turn in it.
        mutating func lookNow() {
            nextPoll = BootInstant(nanoseconds: 0)
            lastSearch = BootInstant(nanoseconds: 0)
        }

        /// While no lane is known to have jobs.
        var nextPoll = BootInstant(nanoseconds: 0)
        var lastSearch = BootInstant(nanoseconds: 0)
        var lastFull = BootInstant.now()
        /// The wait after the next poll that finds nothing; nil: the shortest.
        var idle: Duration?
        /// When parked jobs are looked at next, beside each search.
        var parkedAt: BootInstant?
        /// Counts calls to look now: one that comes while a search is under way may mean jobs that the search did not see.
        var wakes = 0
        /// Counts looks at parked jobs with too few free slots to divide.
        var parkedTurn = 0
        /// The limit key to begin after.
        var parkedAfter: String?
    }

    struct Values: Sendable {
        var phase = Phase.running
        var drainSince: BootInstant?
        var workerID: Int64 = 0
        /// When the last beat that went through was sent.
        var lastBeat: BootInstant?
        var ledger = LeaseLedger()
        var lanes = LaneTable()
        var controls = RunnerControls()
        /// A job of ours that held room under a limit has ended, and others wait for it.
        var hasFreedRoom = false
        /// Jobs claimed since the low-water marks were last raised.
        var claimedUnmarked = 0
        /// Since when a slot has been free that no claim has seen.
        var freedAt: BootInstant?
        var tasks: [Int64: RunningTask] = [:]
        var cancelled: Set<Int64> = []
        /// What became of jobs since the last beat.
        var counters = LaneCounters()
        /// When lanes are searched next, and when they were.
        var searching = Searching()
        /// Slots that claims under way may fill.
        var claiming = 0
        /// Exchanges begun, and those under way, to tell a lease whose claim is under way from one whose answer was lost.
        var exchangesBegun = 0
        var exchangesUnderWay: Set<Int> = []
        /// Leases not in the ledger at the last look, and how many exchanges had begun then.
        var strays: (leases: Set<Int64>, exchangesBegun: Int) = ([], 0)
    }

    private let values = Mutex(Values())
    let configuration: JobRunnerConfiguration
    /// Rung when a lease can be settled whole, a slot becomes free, or jobs may have come. The first is the scout's.
    let exchangeBells: [Bell]
    /// Rung when a lease can be settled in part.
    let settleBell = Bell()
    /// Rung when jobs were claimed.
    let scoutBell = Bell()
    /// Rung when the runner stops.
    let beatBell = Bell()
    /// Rung when the runner stops.
    let listenBell = Bell()

    init(_ configuration: JobRunnerConfiguration) {
        self.configuration = configuration
        exchangeBells = (0..<max(1, configuration.exchanges)).map { _ in Bell() }
    }

    func withLock<Result>(_ body: (inout sending Values) -> sending Result) -> sending Result {
        values.withLock(body)
    }

    /// Wakes the scout's exchange loop.
    func ringScout() { exchangeBells[0].ring() }

    /// Wakes an exchange loop for work that is there: one that waits, if any does.
    func ringExchange() {
        for bell in exchangeBells where bell.ringWaiter() { return }
        ringScout()
    }

    func ringAll() {
        for bell in exchangeBells { bell.ring() }
        settleBell.ring()
        scoutBell.ring()
        beatBell.ring()
        if phase == .stopped { listenBell.ring() }
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

    /// Takes in what became of a job. `event`: as what it is counted, where its handler has settled it itself.
    func finish(
        _ job: LeasedJob, _ settlement: Settlement?, as event: LaneCounters.Event? = nil, trusted: Bool = false
    ) {
        let now = BootInstant.now()
        let (readiness, freed, hurries) = withLock { values in
            if let event = event ?? settlement.flatMap(LaneCounters.Event.init) { values.counters.add(event, job.lane) }
            if values.tasks.removeValue(forKey: job.jobID) != nil { values.cancelled.remove(job.jobID) }
            // Others wait for the room it had.
            let hurries = values.controls.isWaiting && values.ledger.isLimited(job.lease.leaseID)
            if hurries, settlement == nil { values.hasFreedRoom = true }
            let readiness = values.ledger.finish(
                job.jobID, of: job.lease.leaseID, settlement, trusted: trusted, at: now)
            let freed = values.freedAt == nil
            if freed { values.freedAt = now }
            return (readiness, freed || values.hasFreedRoom, hurries)
        }
        if readiness == .whole || freed { ringExchange() }
        if readiness == .part || readiness == .window || hurries { settleBell.ring() }
    }
}

/// A running handler's task, to cancel it by its job.
struct RunningTask: @unchecked Sendable {
    // `cancel` of an UnsafeCurrentTask may be called from any task while its own is running; entries are removed, under
    // the lock they are used under, before their task ends.
    let task: UnsafeCurrentTask
}
