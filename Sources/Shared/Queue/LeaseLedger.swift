import Pacing

/// What is to be written for one job, decided from its handler's outcome.
struct Settlement: Sendable, Hashable {
    /// As in `settle_rows`: 0 completed, 1 retry, 2 snooze, 3 park, 4 give back, 5 discard, 6 cancelled.
    let act: Int16
    let delay: Double
    /// JSON of the failure.
    let note: [UInt8]?

    static let completed = Settlement(act: 0, delay: 0, note: nil)
    static let givenBack = Settlement(act: 4, delay: 0, note: nil)
}

/// The leases a runner holds and how far their jobs are. Decides what is settled how; does no I/O.
///
/// A lease goes one of two ways. *Whole*: every job completed, no unique key, nothing settled singly; it goes with the
/// next claim, in one statement. *In part*: by `settle_held`, job by job, and closed with its last one. A lease is never
/// on both ways at once, and on one only once at a time.
struct LeaseLedger: Sendable {
    private struct Entry: Sendable {
        let workerID: Int64
        let keyed: Bool
        let total: Int
        var running: Set<Int64>
        /// Finished, and to be settled by us.
        var pending: [(jobID: Int64, settlement: Settlement)] = []
        var firstPending: BootInstant?
        /// Another transaction was in the way: not before this.
        var notBefore: BootInstant?
        /// A handler settled, or began to settle, in a transaction of its own.
        var touched = false
        var completed = 0
        /// Some of its jobs hold room under a limit, which their settling gives back.
        var limited = false
        /// Under way to the database.
        var sending = false
        /// Rescued: nothing of it is settled any more.
        var lost = false

        var isWhole: Bool { running.isEmpty && !keyed && !touched && completed == total && pending.count == total }

        /// When its finished jobs are to be settled in part; nil when there is nothing to do. `hurries`: others wait for the
        /// room that a limited one gives back.
        func due(window: Duration, hurries: Bool) -> BootInstant? {
            guard !sending, !lost, !isWhole, let firstPending, running.isEmpty || !pending.isEmpty else { return nil }
            let isNow = running.isEmpty || (limited && hurries)
            let due = isNow ? firstPending : firstPending.advanced(by: window)
            return notBefore.map { max($0, due) } ?? due
        }

        enum Finish { case unknown, lost, closed, first(Readiness), another(Readiness) }

        /// Takes in one finished job, in place: a copy for each would cost a lease of a hundred jobs ten thousand.
        mutating func finish(
            _ jobID: Int64, _ settlement: Settlement?, trusted: Bool, at now: BootInstant
        ) -> Finish {
            guard running.remove(jobID) != nil else { return .unknown }
            if lost { return .lost }
            guard let settlement else {
                if trusted, running.isEmpty, pending.isEmpty { return .closed }
                touched = true
                return noted(at: now)
            }
            pending.append((jobID, settlement))
            if settlement == .completed { completed += 1 }
            return noted(at: now)
        }

        private mutating func noted(at now: BootInstant) -> Finish {
            let readiness: Readiness = isWhole ? .whole : running.isEmpty ? .part : .later
            guard firstPending == nil else { return .another(readiness) }
            firstPending = now
            return .first(readiness)
        }
    }

    /// Jobs of one lease to be settled in one call.
    struct Part: Sendable {
        let lease: LeaseReference
        let jobs: [(jobID: Int64, settlement: Settlement)]
        /// Nothing of the lease is running or to be settled after this: close it.
        let last: Bool
        /// Settling it may make room under a limit.
        let limited: Bool
    }

    private var entries: [Int64: Entry] = [:]
    /// Jobs being run by handlers, those of lost leases included: each occupies a slot.
    private(set) var occupied = 0
    /// Finished and not settled yet.
    private(set) var unsettled = 0

    var isEmpty: Bool { entries.isEmpty }
    var leaseIDs: [Int64] { entries.filter { !$0.value.lost }.map(\.key) }

    mutating func add(_ lease: LeaseReference, keyed: Bool, jobs: [Int64]) {
        entries[lease.leaseID] = Entry(
            workerID: lease.workerID, keyed: keyed, total: jobs.count, running: Set(jobs))
        entries[lease.leaseID]?.pending.reserveCapacity(jobs.count)
        occupied += jobs.count
    }

    /// What a finished job asks for: the lease is ready to be settled as a whole, in part, by the end of the batch window
    /// (the first finished job says so), or nothing new.
    enum Readiness: Sendable, Equatable { case whole, part, window, later }

    /// A handler returned. `settlement` nil: it says that it settled itself; then `trusted` says that its lease closed with
    /// it.
    mutating func finish(
        _ jobID: Int64, of leaseID: Int64, _ settlement: Settlement?, trusted: Bool, at now: BootInstant
    ) -> Readiness {
        occupied -= 1
        switch entries[leaseID]?.finish(jobID, settlement, trusted: trusted, at: now) {
        case nil, .unknown: return .later
        case .lost:
            if entries[leaseID]?.running.isEmpty ?? false { entries[leaseID] = nil }
            return .later
        case .closed:
            entries[leaseID] = nil
            return .later
        case .first(let readiness):
            if settlement != nil { unsettled += 1 }
            return readiness == .later ? .window : readiness
        case .another(let readiness):
            if settlement != nil { unsettled += 1 }
            return readiness
        }
    }

    /// A handler is about to settle in its own transaction: the lease goes in part from now on. False when the job is not
    /// ours to settle any more.
    mutating func touch(_ jobID: Int64, of leaseID: Int64) -> Bool {
        guard let entry = entries[leaseID], !entry.lost, entry.running.contains(jobID) else { return false }
        entries[leaseID]?.touched = true
        return true
    }

    /// Jobs of the lease take room under limits: it goes in part from now on.
    mutating func limit(_ leaseID: Int64) {
        entries[leaseID]?.touched = true
        entries[leaseID]?.limited = true
    }

    func isLimited(_ leaseID: Int64) -> Bool { entries[leaseID]?.limited ?? false }

    // MARK: Settling

    /// Leases to settle with the next claim, marked as under way.
    mutating func takeWhole(limit: Int) -> [Int64] {
        var taken: [Int64] = []
        for (id, entry) in entries where entry.isWhole && !entry.sending && !entry.lost {
            entries[id]?.sending = true
            taken.append(id)
            if taken.count == limit { break }
        }
        return taken
    }

    /// Jobs to settle one by one, marked as under way: of leases that are through, and of others whose first finished job
    /// waits for `window`. At most about `limit` jobs.
    mutating func takeParts(at now: BootInstant, window: Duration, hurries: Bool = false, limit: Int) -> [Part] {
        var parts: [Part] = []
        var count = 0
        for (id, entry) in entries where count < limit {
            guard let due = entry.due(window: window, hurries: hurries), due <= now else { continue }
            parts.append(
                Part(
                    lease: LeaseReference(leaseID: id, workerID: entry.workerID), jobs: entry.pending,
                    last: entry.running.isEmpty, limited: entry.limited))
            count += max(1, entry.pending.count)
            entries[id]?.sending = true
            entries[id]?.touched = true
            entries[id]?.pending = []
            entries[id]?.firstPending = nil
            entries[id]?.notBefore = nil
        }
        // In the order of leases, as every settle takes them.
        return parts.sorted { $0.lease.leaseID < $1.lease.leaseID }
    }

    /// When the next part becomes due, for a wait.
    func nextDue(window: Duration, hurries: Bool = false) -> BootInstant? {
        entries.values.lazy.compactMap { $0.due(window: window, hurries: hurries) }.min()
    }

    var hasWhole: Bool { entries.values.contains { $0.isWhole && !$0.sending && !$0.lost } }

    /// The leases were settled, or were not ours any more.
    mutating func settledWhole(_ ids: [Int64]) {
        for id in ids { if let entry = entries.removeValue(forKey: id) { unsettled -= entry.pending.count } }
    }

    /// The call failed: the same again later.
    mutating func failedWhole(_ ids: [Int64]) {
        for id in ids { entries[id]?.sending = false }
    }

    /// The call failed: the same again at `retry`.
    mutating func failed(_ part: Part, retryAt retry: BootInstant) {
        guard var entry = entries[part.lease.leaseID] else { return }
        entry.sending = false
        entry.pending = part.jobs + entry.pending
        entry.firstPending = entry.firstPending ?? retry
        entry.notBefore = retry
        entries[part.lease.leaseID] = entry
    }

    /// The jobs were settled; with `part.last`, `open` are those that still have no mark: their handlers said that they
    /// settled themselves, and their transaction did not commit.
    mutating func settled(_ part: Part, held: Bool, open: [Int64], at now: BootInstant) {
        unsettled -= part.jobs.count
        guard var entry = entries[part.lease.leaseID] else { return }
        entry.sending = false
        if !held {
            lose(&entry, part.lease.leaseID)
        } else if part.last && open.isEmpty {
            entries[part.lease.leaseID] = nil
        } else {
            if part.last {
                entry.pending += open.map { ($0, LeaseLedger.unsettledByHandler) }
                unsettled += open.count
                entry.firstPending = now
            }
            entries[part.lease.leaseID] = entry
        }
    }

    private static let unsettledByHandler = Settlement(
        act: 1, delay: 1,
        note: Array(
            #"{"type": "NotSettled", "message": "the handler said it had settled the job, but that did not commit"}"#
                .utf8))

    // MARK: Losing and giving back

    /// The worker was declared dead: none of its leases is settled any more.
    mutating func loseAll() {
        for (id, var entry) in entries where !entry.lost { lose(&entry, id) }
    }

    private mutating func lose(_ entry: inout Entry, _ id: Int64) {
        unsettled -= entry.pending.count
        entry.pending = []
        entry.lost = true
        entries[id] = entry.running.isEmpty ? nil : entry
    }

    /// Gives back every job that is still running; their handlers' outcomes come too late from now on.
    mutating func giveBackRunning(at now: BootInstant) {
        for (id, var entry) in entries where !entry.lost && !entry.running.isEmpty {
            entry.pending += entry.running.map { ($0, .givenBack) }
            unsettled += entry.running.count
            entry.running = []
            entry.firstPending = now
            entries[id] = entry
        }
    }
}
