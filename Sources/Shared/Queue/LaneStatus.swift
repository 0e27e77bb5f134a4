#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What became of a lane's jobs.
package struct LaneCounts<Number: Sendable>: Sendable {
    package let started, completed, retried, discarded, cancelled, snoozed, parked: Number

    /// In the order of `LaneCounters.Event`; nil when there are not seven.
    init?(_ numbers: [Number]) {
        guard numbers.count == LaneCounters.Event.allCases.count else { return nil }
        (started, completed, retried) = (numbers[0], numbers[1], numbers[2])
        (discarded, cancelled, snoozed, parked) = (numbers[3], numbers[4], numbers[5], numbers[6])
    }

    /// Names and values, in the order above.
    package var named: [(name: String, value: Number)] {
        [
            ("started", started), ("completed", completed), ("retried", retried), ("discarded", discarded),
            ("cancelled", cancelled), ("snoozed", snoozed), ("parked", parked),
        ]
    }
}

/// One priority of one queue, as operators see it.
package struct LaneStatus: Sendable {
    package let environmentID: Int64
    package let queue: String
    package let isPaused: Bool
    package let priority: Int16
    /// In line now, counted up to a cap.
    package let jobs: Int
    package let isCapped: Bool
    /// Seconds since the job at its head was created; nil when none is in line.
    package let oldestAge: Double?
    /// Being run now.
    package let running: Int
    /// Scheduled for the next minute, or due and not in line yet.
    package let dueSoon: Int
    /// Of the last 60 seconds, seconds late; nil before its first job.
    package let perMinute: LaneCounts<Double>?
    /// Since the lane's first job.
    package let ever: LaneCounts<Int64>?
}

/// Jobs held back by one pause or limit.
package struct ParkedCount: Sendable {
    package enum Reason: String, Sendable, Hashable {
        /// Their kind is paused.
        case kind
        /// Their limit key is paused.
        case limit
        /// Their limit has no room.
        case wait
    }

    package let reason: Reason
    /// The kind or the limit key.
    package let name: String
    /// Counted up to a cap.
    package let jobs: Int
    package let isCapped: Bool
}

/// Discarded jobs of one kind in one queue.
package struct DiscardedCount: Sendable {
    package let environmentID: Int64
    package let queue: String
    package let kind: String
    /// Counted up to a cap.
    package let jobs: Int
    package let isCapped: Bool
    package let oldest: Date
}

/// A process that beats.
package struct WorkerStatus: Sendable {
    package let workerID: Int64
    package let name: String
    package let startedAt: Date
    package let beat: Int64
    /// Seconds since its last beat, by the database's clock. For people: dead is only what an observer declares.
    package let beatAge: Double
    /// Declared dead; its jobs are being rescued.
    package let isDead: Bool
    /// nil: it runs no jobs (a scheduler).
    package let kinds: [String]?
    /// Jobs it holds.
    package let running: Int
}
