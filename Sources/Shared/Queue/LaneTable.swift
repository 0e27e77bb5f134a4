import Pacing

/// A line of jobs: one priority of one queue. Urgent priorities first, then by queue.
struct Lane: Sendable, Hashable, Comparable {
    let queue: Int32
    let priority: Int16

    /// The order of the index.
    static func < (left: Lane, right: Lane) -> Bool {
        (left.queue, left.priority) < (right.queue, right.priority)
    }
}

/// What a runner remembers of lanes: which have jobs, whose turn it is, and each one's low-water mark.
///
/// The low-water mark is the lowest id that can still matter in a lane; claims and searches begin there, so that dead
/// index entries cost nothing. It is only good on the server it was read from: after a failover the sequence may be
/// further back. Every statement that uses marks names that server, and begins at 0 on another one.
struct LaneTable: Sendable {
    struct Share: Sendable, Hashable {
        let lane: Lane
        let low: Int64
        let want: Int
    }

    /// Changes with every reset: marks of an older epoch are refused.
    private(set) var epoch = 0
    /// The server that the marks are from; 0 before the first.
    private(set) var server: Double = 0
    private(set) var lows: [Lane: Int64] = [:]
    /// Lanes that had jobs at the last search, in index order.
    private(set) var waiting: [Lane] = []
    private var lastFull: [Lane: BootInstant] = [:]
    private var lastServed: [Int16: Int32] = [:]
    private var rounds = 0

    /// A lane without jobs for this long is forgotten; searches find it again.
    private let memory: Duration = .seconds(60)

    /// Forgets all marks when they are from another server.
    mutating func use(server: Double) {
        guard server != self.server else { return }
        reset()
        self.server = server
    }

    mutating func reset() {
        for lane in lows.keys { lows[lane] = 0 }
        epoch += 1
    }

    /// The known lanes in index order with their marks, and the sentinel the search ends at. `fromZero`: as if none were
    /// known.
    func known(fromZero: Bool) -> (queues: [Int32], priorities: [Int16], lows: [Int64]) {
        let lanes = fromZero ? [] : lows.keys.sorted()
        return (
            lanes.map(\.queue) + [.max], lanes.map(\.priority) + [.max], lanes.map { lows[$0] ?? 0 } + [0]
        )
    }

    /// Takes in a search. `marks` are those of before it: one raised meanwhile may have passed a job that the search still
    /// saw and another runner has claimed. Returns false when a job was found below its mark, which only a database that
    /// went back in time has; the marks are forgotten then.
    mutating func found(
        _ lanes: [(lane: Lane, first: Int64)], marks: [Lane: Int64], at now: BootInstant
    ) -> Bool {
        waiting = lanes.map(\.lane)
        var consistent = true
        for (lane, first) in lanes {
            lastFull[lane] = now
            if first < marks[lane, default: 0] { consistent = false }
        }
        if !consistent { reset() }
        for lane in waiting where lows[lane] == nil { lows[lane] = 0 }
        for (lane, time) in lastFull where time.duration(to: now) > memory {
            lastFull[lane] = nil
            lows[lane] = nil
        }
        return consistent
    }

    /// The lane gave fewer jobs than it was asked for.
    mutating func exhausted(_ lane: Lane) { waiting.removeAll { $0 == lane } }

    /// Raises marks that were read in `epoch`.
    mutating func raise(_ marks: [(lane: Lane, low: Int64)], epoch: Int) {
        guard epoch == self.epoch else { return }
        for (lane, low) in marks { if let old = lows[lane], low > old { lows[lane] = low } }
    }

    /// Shares out `free` slots. An urgent priority gets three quarters of what is left, as long as others wait behind it,
    /// and every eighth round begins with one of the others, each in its turn: one slot at a time serves every priority
    /// too. Queues of one priority take turns.
    mutating func round(free: Int, fromZero: Bool) -> [Share] {
        guard free > 0, !waiting.isEmpty else { return [] }
        rounds += 1
        var classes: [Int16: [Lane]] = [:]
        for lane in waiting { classes[lane.priority, default: []].append(lane) }
        var order = classes.keys.sorted()
        if rounds % 8 == 0, order.count > 1 {
            order.insert(order.remove(at: 1 + (rounds / 8) % (order.count - 1)), at: 0)
        }
        var left = free
        var shares: [Share] = []
        for (place, priority) in order.enumerated() where left > 0 {
            let lanes = classes[priority] ?? []
            let isLast = place == order.count - 1
            var budget = isLast ? left : max(1, left * 3 / 4)
            left -= budget
            // Turns: from the lane after the last one served.
            let start = lanes.firstIndex { $0.queue > lastServed[priority, default: .min] } ?? 0
            let served = min(lanes.count, budget)
            for turn in 0..<served {
                let lane = lanes[(start + turn) % lanes.count]
                let want = (budget + (served - turn) - 1) / (served - turn)
                budget -= want
                shares.append(Share(lane: lane, low: fromZero ? 0 : lows[lane] ?? 0, want: want))
                lastServed[priority] = lane.queue
            }
        }
        return shares
    }
}
