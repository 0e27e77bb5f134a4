import Foundation

/// What is to be done about a schedule that is due: the ticks to run now, and the one to wait for.
struct ScheduleDecision: Sendable, Hashable {
    /// A tick up to so late is not missed: a scheduler's restart or a failover of the database takes that long.
    static let grace: TimeInterval = 30
    /// Ticks that one look may run.
    static let most = 100

    /// Oldest first.
    var run: [Date] = []
    /// nil: no more.
    var next: Date?
    /// Whether there were ticks that do not run, by the policy for missed ones.
    var dropsMissed = false

    /// - Parameters:
    ///   - next: the stored tick to come.
    ///   - last: the latest tick that was enqueued; none up to it is ever run again, whatever `next` says.
    ///   - now: the database's time.
    init(ticks: ScheduleTicks, next stored: Date, last: Date?, ends: Date?, now: Date, missed: MissedPolicy) {
        func bounded(_ tick: Date?) -> Date? {
            guard let tick, let ends else { return tick }
            return tick <= ends ? tick : nil
        }
        var first: Date? = stored
        if let last, last >= stored { first = ticks.next(after: last) }
        guard let first = bounded(first) else { return }
        guard first <= now else {
            next = first
            return
        }
        let fresh = now.addingTimeInterval(-Self.grace)
        var tick: Date? = first
        if first < fresh {
            switch missed {
            case .all: break
            case .once:
                run = [first]
                dropsMissed = true
                tick = bounded(ticks.next(after: now))
            case .skip:
                dropsMissed = true
                tick = bounded(ticks.next(after: fresh.addingTimeInterval(-0.000_001)))
            }
        }
        while let due = tick, due <= now, run.count < Self.most {
            run.append(due)
            tick = bounded(ticks.next(after: due))
        }
        if let due = tick, due <= now {
            dropsMissed = true
            tick = bounded(ticks.next(after: now))
        }
        next = tick
    }
}
