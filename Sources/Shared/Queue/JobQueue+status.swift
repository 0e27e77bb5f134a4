import Postgres

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Counts of operators' tables end here, each by itself.
package let depthCap = 10_000

extension JobQueue {
    /// Every lane that has something to tell, of one environment or of all: in line, running, due within a minute, or
    /// counted within two minutes. An index probe for each queue and lane and what is counted: a count ends at `cap`, and
    /// with many deep lanes earlier, at 200,000 jobs in line over all lanes but not before 100 each.
    package func lanes(environmentID: Int64? = nil, cap: Int = depthCap) async throws -> [LaneStatus] {
        try await pool.execute(
            Statements.lanesNow, [.optional(environmentID) { .int8($0) }, .int4(Int32(clamping: cap))]
        ).map { row in
            let (environmentID, queue, paused, priority, jobs, isCapped, age, running, due, rates, ever) =
                try row.decode(
                    Int64.self, String.self, Bool.self, Int16.self, Int.self, Bool.self, Double?.self, Int.self,
                    Int.self, [Double]?.self, [Int64]?.self)
            return LaneStatus(
                environmentID: environmentID, queue: queue, isPaused: paused, priority: priority, jobs: jobs,
                isCapped: isCapped, oldestAge: age.map { max(0, $0) }, running: running, dueSoon: due,
                perMinute: rates.flatMap(LaneCounts.init), ever: ever.flatMap(LaneCounts.init))
        }
    }

    /// Parked jobs by what holds them, for the first 1,000 of these.
    package func parked(cap: Int = depthCap) async throws -> [ParkedCount] {
        try await pool.execute(Statements.parkedNow, [.int4(Int32(clamping: cap))]).compactMap { row in
            let (word, name, jobs) = try row.decode(String.self, String.self, Int.self)
            return ParkedCount.Reason(rawValue: word).map {
                ParkedCount(reason: $0, name: name, jobs: jobs, isCapped: jobs >= cap)
            }
        }
    }

    /// Discarded jobs by queue and kind, of one environment or of all.
    package func discarded(environmentID: Int64? = nil, cap: Int = depthCap) async throws -> [DiscardedCount] {
        try await pool.execute(
            Statements.discardedNow, [.optional(environmentID) { .int8($0) }, .int4(Int32(clamping: cap))]
        ).map { row in
            let (environmentID, queue, kind, jobs, oldest) = try row.decode(
                Int64?.self, String?.self, String?.self, Int.self, Date.self)
            return DiscardedCount(
                environmentID: environmentID ?? 0, queue: queue ?? "?", kind: kind ?? "?", jobs: jobs,
                isCapped: jobs >= cap, oldest: oldest)
        }
    }

    /// Queues that are paused, of all environments.
    package func pausedQueues() async throws -> [QueueName] {
        try await pool.execute(Statements.pausedQueues).map { row in
            let (environmentID, name) = try row.decode(Int64.self, String.self)
            return QueueName(environmentID: environmentID, name: name)
        }
    }

    /// Processes that beat, or were declared dead and have leases to be rescued.
    package func workers() async throws -> [WorkerStatus] {
        try await pool.execute(Statements.workers).map { row in
            let (workerID, name, started, beat, age, dead, runsJobs, kinds, running) = try row.decode(
                Int64.self, String.self, Date.self, Int64.self, Double.self, Bool.self, Bool.self, [String]?.self,
                Int64.self)
            return WorkerStatus(
                workerID: workerID, name: name, startedAt: started, beat: beat, beatAge: max(0, age), isDead: dead,
                kinds: runsJobs ? kinds ?? [] : nil, running: Int(running))
        }
    }
}
