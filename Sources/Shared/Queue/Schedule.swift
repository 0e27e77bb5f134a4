import Foundation

/// What becomes of ticks that came due while no scheduler ran.
package enum MissedPolicy: String, Sendable, Hashable, CaseIterable {
    /// One run for all of them.
    case once
    /// A run each, oldest first, up to `ScheduleDecision.most` of them; the rest is dropped.
    case all
    /// None.
    case skip
}

/// Whether a tick runs while the job of the run before is not finished.
package enum OverlapPolicy: String, Sendable, Hashable, CaseIterable {
    case allow
    /// The tick is passed over. Waiting, parked and retryable jobs are not finished; discarded ones are.
    case skip
}

/// A job that is to be enqueued again and again.
package struct Schedule: Sendable, Hashable {
    /// Unique in its environment: small letters, digits, `.`, `_`, `-`; at most 100.
    package var name: String
    /// What is enqueued, in which environment and queue. Has no time and no unique key.
    package var job: NewJob
    package var rule: ScheduleRule
    /// No tick before; also the first one of an `every` rule. nil: from now on.
    package var starts: Date?
    /// No tick after.
    package var ends: Date?
    package var missed: MissedPolicy
    package var overlap: OverlapPolicy

    package init(
        name: String, job: NewJob, rule: ScheduleRule, starts: Date? = nil, ends: Date? = nil,
        missed: MissedPolicy = .once, overlap: OverlapPolicy = .allow
    ) {
        self.name = name
        self.job = job
        self.rule = rule
        self.starts = starts
        self.ends = ends
        self.missed = missed
        self.overlap = overlap
    }

    /// Throws `QueueError.invalid` for what cannot be.
    func check(shortest: Duration) throws {
        func require(_ holds: Bool, _ fault: @autoclosure () -> String) throws {
            if !holds { throw QueueError(.invalid, "schedule \"\(name.prefix(100))\": \(fault())") }
        }
        try require(
            name.wholeMatch(of: /[a-z0-9][a-z0-9._\-]{0,99}/) != nil,
            "a name has small letters, digits, \".\", \"_\" and \"-\", begins with a letter or digit, and is at most 100 long"
        )
        try job.check()
        try require(job.runAt == nil && job.uniqueKey == nil, "its job has a time or a unique key of its own")
        if case .every(let interval) = rule {
            try require(interval >= shortest, "every \(interval): needs at least \(shortest)")
        }
        if let starts, let ends { try require(starts < ends, "it ends before it starts") }
        for date in [starts, ends] {
            try require(
                date.map { (0...253_402_300_799).contains($0.timeIntervalSince1970) } ?? true,
                "it starts or ends outside the years 1970 to 9999")
        }
        try require(
            rule.ticks(from: starts ?? Date(timeIntervalSince1970: 0))
                .next(after: starts?.addingTimeInterval(-0.001) ?? Date()) != nil,
            "its rule names no time within five years")
    }
}

/// A schedule as it is kept.
package struct ScheduleRecord: Sendable {
    package enum State: String, Sendable, Hashable, CaseIterable {
        /// `nextAt` tells when.
        case active
        case paused
        /// Its rule has no more ticks.
        case ended
        /// Its rule or job cannot be used, `fault` tells why. Tried again each minute.
        case faulty
    }

    package let id: Int64
    package let schedule: Schedule
    package let state: State
    /// The tick to come; nil when it is paused or ended.
    package let nextAt: Date?
    /// The latest tick that was enqueued.
    package let lastAt: Date?
    /// The job of the latest run, also of one by hand.
    package let lastJobID: Int64?
    package let fault: String?
    package let createdAt: Date
    package let updatedAt: Date

    /// From where an `every` rule counts.
    let anchor: Date
    /// The database's time when this was read: when its transaction began.
    let now: Date
}

/// One run of a schedule.
package struct ScheduleRun: Sendable, Hashable {
    /// The time that the rule named; of a run by hand, when that was asked for.
    package let tick: Date
    package let jobID: Int64?
    /// Asked for by a person.
    package let isManual: Bool
}
