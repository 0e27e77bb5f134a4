import Logging
import Pacing
import Postgres

extension JobRunner {
    /// What an exchange loop does next.
    private enum Step {
        case finished
        /// nil: until something rings.
        case wait(Duration?)
        case exchange(Exchange)
    }

    /// One round of settling and claiming.
    struct Exchange: Sendable {
        let serial: Int
        /// Leases to settle.
        let whole: [Int64]
        /// Slots to fill.
        let free: Int
        /// Look for lanes first.
        let searches: Bool
        /// Look at parked jobs first.
        let looksAtParked: Bool
        let workerID: Int64
    }

    /// Settles whole leases and claims jobs, until the runner is drained or cancelled. Handlers run in `jobs`. Loop 0 is
    /// the scout: it alone looks for lanes and parked jobs.
    func exchangeLoop(_ index: Int, _ jobs: inout DiscardingTaskGroup) async {
        var retry = Retry(logger: logger, what: "jobs cannot be claimed")
        var wasStopped = false
        let bell = state.exchangeBells[index]
        while !Task.isCancelled {
            switch nextStep(isScout: index == 0) {
            case .finished: return
            case .wait(let limit):
                if !wasStopped, isPastDrain() {
                    wasStopped = true
                    state.withLock { $0.ledger.giveBackRunning(at: .now()) }
                    state.settleBell.ring()
                    jobs.cancelAll()
                }
                if let limit { await bell.wait(upTo: limit) } else { await bell.wait() }
            case .exchange(let exchange):
                do {
                    try await perform(exchange, &jobs)
                    state.withLock {
                        $0.ledger.settledWhole(exchange.whole)
                        end(exchange, &$0)
                    }
                    retry.succeeded()
                } catch {
                    state.withLock {
                        $0.ledger.failedWhole(exchange.whole)
                        end(exchange, &$0)
                    }
                    if Task.isCancelled { return }
                    let delay = retry.failed(error)
                    try? await Task.sleep(for: delay)
                }
            }
        }
    }

    private func end(_ exchange: Exchange, _ values: inout RunnerState.Values) {
        values.exchangesUnderWay.remove(exchange.serial)
    }

    private func isPastDrain() -> Bool {
        state.withLock { $0.drainSince.map { $0.duration(to: .now()) >= configuration.drainTimeout } ?? false }
    }

    private func nextStep(isScout: Bool) -> Step {
        let now = BootInstant.now()
        return state.withLock { values in
            let draining = values.phase != .running
            if draining, values.ledger.isEmpty { return .finished }
            if draining, let since = values.drainSince,
                since.duration(to: now) >= configuration.drainTimeout + configuration.settleTimeout
            {
                return .finished
            }
            let beats = values.lastBeat.map { $0.duration(to: now) < configuration.beatTolerance } ?? false
            let stuck = values.ledger.unsettled > 4 * configuration.concurrency
            let taken = values.ledger.occupied + values.claiming
            var free =
                draining || !beats || stuck ? 0 : min(configuration.claimBatch, configuration.concurrency - taken)
            let whole = values.ledger.takeWhole(limit: 100)
            // A slot that has just become free waits a little for others.
            var wait: Duration = draining ? .milliseconds(100) : .seconds(1)
            if whole.isEmpty, free > 0, taken > 0, let freedAt = values.freedAt {
                let waited = freedAt.duration(to: now)
                if waited < configuration.batchWindow {
                    wait = min(wait, configuration.batchWindow - waited)
                    free = 0
                }
            }
            var searches = false
            var looksAtParked = false
            if free > 0, isScout {
                let searching = values.searching
                looksAtParked =
                    values.controls.isWaiting
                    && (values.hasFreedRoom || searching.parkedAt.map { $0 <= now } ?? false)
                searches =
                    values.lanes.waiting.isEmpty
                    ? now >= searching.nextPoll
                    : searching.lastSearch.duration(to: now) >= configuration.searchInterval
                if values.lanes.waiting.isEmpty, !searches, !looksAtParked {
                    wait = min(wait, now.duration(to: searching.nextPoll))
                    if values.controls.isWaiting, let at = searching.parkedAt { wait = min(wait, now.duration(to: at)) }
                    free = 0
                }
            } else if values.lanes.waiting.isEmpty {
                free = 0
            }
            if whole.isEmpty, free <= 0 {
                // Every slot is taken: the end of a job rings.
                let isFull = !draining && taken >= configuration.concurrency
                if isFull { values.freedAt = nil }
                return .wait(isFull || (!isScout && !draining) ? nil : wait)
            }
            values.freedAt = nil
            values.hasFreedRoom = values.hasFreedRoom && !looksAtParked
            free = max(0, free)
            values.claiming += free
            values.exchangesBegun += 1
            values.exchangesUnderWay.insert(values.exchangesBegun)
            return .exchange(
                Exchange(
                    serial: values.exchangesBegun, whole: whole, free: free, searches: searches,
                    looksAtParked: looksAtParked, workerID: values.workerID))
        }
    }

    private func perform(_ exchange: Exchange, _ jobs: inout DiscardingTaskGroup) async throws {
        var reserved = exchange.free
        defer { state.withLock { $0.claiming -= reserved } }
        let now = BootInstant.now()
        let (isFull, wakes) = state.withLock {
            (
                exchange.searches && $0.searching.lastFull.duration(to: now) >= configuration.fullSearchInterval,
                $0.searching.wakes
            )
        }
        if exchange.searches { try await search(fromZero: isFull, at: now) }
        var free = exchange.free
        let parkedSlots = exchange.looksAtParked || exchange.searches ? slotsForParked(of: free) : 0
        if parkedSlots > 0, let parked = try await claimParked(upTo: parkedSlots, exchange.workerID) {
            free -= parked.rows.count
            await begin(parked, releasing: &reserved, &jobs)
        }
        let (shares, server) = state.withLock { values in
            (values.lanes.round(free: free, fromZero: isFull), values.lanes.server)
        }
        let claimed =
            exchange.whole.isEmpty && shares.isEmpty
            ? nil : try await settleAndClaim(exchange.whole, shares, exchange.workerID, server)
        if exchange.free > 0 { took(claimed, of: shares, searched: exchange.searches, wakes: wakes, at: now) }
        if let claimed { await begin(claimed, releasing: &reserved, &jobs) }
    }

    /// How many of the free slots parked jobs may take: beside jobs in line a quarter, so that urgent lanes keep theirs;
    /// with too few slots to divide, every fourth look.
    private func slotsForParked(of free: Int) -> Int {
        state.withLock { values in
            guard free > 0, values.controls.isWaiting else { return 0 }
            guard !values.lanes.waiting.isEmpty else { return free }
            guard free < 4 else { return free / 4 }
            values.searching.parkedTurn = (values.searching.parkedTurn + 1) % 4
            return values.searching.parkedTurn == 0 ? 1 : 0
        }
    }

    /// Notes what a claim has told of the lanes.
    private func took(
        _ claimed: ClaimedBatch?, of shares: [LaneTable.Share], searched: Bool, wakes: Int, at now: BootInstant
    ) {
        var got: [Lane: Int] = [:]
        for row in claimed?.rows ?? [] { got[Lane(queue: row.queue, priority: row.priority), default: 0] += 1 }
        let hasMore = state.withLock { values in
            for share in shares where got[share.lane, default: 0] < share.want { values.lanes.exhausted(share.lane) }
            if claimed != nil {
                values.searching.nextPoll = now
                values.searching.idle = nil
            } else if searched {
                // Nothing there, or nothing to be had: the polls become rarer.
                let idle = values.searching.idle ?? configuration.pollInterval.lowerBound
                values.searching.nextPoll = now.advanced(by: idle)
                values.searching.idle = min(idle * 3 / 2, configuration.pollInterval.upperBound)
            }
            if searched, values.searching.wakes != wakes { values.searching.lookNow() }
            return !values.lanes.waiting.isEmpty
                && values.ledger.occupied + values.claiming < configuration.concurrency
        }
        if hasMore, claimed != nil { state.ringExchange() }
    }
}
