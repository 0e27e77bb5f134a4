import Logging
import Pacing
import Postgres

/// A claimed batch, as it came from the database.
struct ClaimedBatch: Sendable {
    let lease: LeaseReference
    let keyed: Bool
    /// Its jobs hold room under limits already.
    var isAdmitted = false
    let rows: [Row]

    struct Row: Sendable {
        let jobID: Int64
        let kind: Int32
        let queue: Int32
        let priority: Int16
        let attempt: Int16
        let maximumAttempts: Int16
        let crashes: Int16
        let limitKey: String?
        let arguments: [UInt8]
        let waited: Double?
    }
}

extension JobRunner {
    /// Looks for lanes with jobs, and for news of pauses and limits: one round trip.
    func search(fromZero: Bool, at now: BootInstant) async throws {
        let (known, marks, server) = state.withLock {
            ($0.lanes.known(fromZero: fromZero), $0.lanes.lows, $0.lanes.server)
        }
        let answers = try await pool.pipeline([
            (
                Statements.lanes,
                [.int4Array(known.queues), .int2Array(known.priorities), .int8Array(known.lows), .float8(server)]
            ), (Statements.controls, []),
        ])
        guard answers.count == 2 else { throw QueueError(.inconsistent, "a search was not answered") }
        try await learnControls(answers[1])
        let lanes = try answers[0].map { row in
            let (queue, priority, id) = try row.decode(Int32.self, Int16.self, Int64.self)
            return (lane: Lane(queue: queue, priority: priority), first: id)
        }
        let consistent = state.withLock { values in
            values.searching.lastSearch = now
            if fromZero { values.searching.lastFull = now }
            return values.lanes.found(lanes, marks: marks, at: .now())
        }
        if !consistent { logger.warning("jobs were found below the low-water mark; was there a failover?") }
    }

    func settleAndClaim(
        _ whole: [Int64], _ shares: [LaneTable.Share], _ workerID: Int64, _ server: Double
    ) async throws -> ClaimedBatch? {
        let rows = try await pool.execute(
            Statements.settleAndClaim,
            [
                .int8Array(whole), .int8(workerID), .int4Array(shares.map(\.lane.queue)),
                .int2Array(shares.map(\.lane.priority)), .int8Array(shares.map(\.low)),
                .int4Array(shares.map { Int32($0.want) }), .float8(server),
            ])
        guard let first = rows.first else { throw QueueError(.inconsistent, "a claim returned no row") }
        let (settled, lease, keyed) = try first.decode(Int.self, Int64?.self, Bool?.self)
        if settled < whole.count {
            logger.warning(
                "leases were rescued before they were settled; their jobs run again",
                metadata: ["leases": "\(whole.count - settled)"])
        }
        guard let lease, let keyed else { return nil }
        var claimed: [ClaimedBatch.Row] = []
        claimed.reserveCapacity(rows.count)
        for row in rows {
            claimed.append(
                ClaimedBatch.Row(
                    jobID: try row.int64(3), kind: try row.int32(4), queue: try row.int32(5),
                    priority: try row.int16(6), attempt: try row.int16(7), maximumAttempts: try row.int16(8),
                    crashes: try row.int16(9), limitKey: try row.optionalString(10), arguments: try row.bytes(11),
                    waited: try row.optionalDouble(12)))
        }
        return ClaimedBatch(lease: LeaseReference(leaseID: lease, workerID: workerID), keyed: keyed, rows: claimed)
    }
}
