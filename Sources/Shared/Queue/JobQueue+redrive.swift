import Postgres

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

extension JobQueue {
    /// What a selection holds, by type of error. Looks at up to `cap` jobs of the kind, environment and time. A kind that
    /// never was holds nothing.
    package func preview(_ selection: JobSelection, cap: Int = 100_000) async throws -> RedrivePreview {
        guard let kind = try await names.find(kind: selection.kind) else {
            return RedrivePreview(groups: [], isComplete: true)
        }
        var isComplete = true
        let groups = try await pool.execute(
            Statements.previewDiscarded,
            [
                .int4(kind), .optional(selection.environmentID) { .int8($0) },
                .optional(selection.errorType) { .text($0) }, .optional(selection.since) { .timestamptz($0) },
                .int4(Int32(clamping: cap)),
            ]
        ).map { row in
            let (type, jobs, oldest, newest, message, jobID, all) = try row.decode(
                String?.self, Int.self, Date.self, Date.self, String?.self, Int64.self, Bool.self)
            isComplete = isComplete && all
            return RedrivePreview.Group(
                errorType: type, jobs: jobs, oldest: oldest, newest: newest, exampleJobID: jobID,
                exampleMessage: message)
        }
        return RedrivePreview(groups: groups, isComplete: isComplete)
    }

    /// Runs the selected jobs again, attempts from 0, or deletes them into the history, in batches that each commit, queue
    /// by queue and oldest first. Stops at `limit` jobs. Jobs discarded after it began are left, so that it ends while
    /// they fail again; so are jobs whose unique key is taken by now. `progress` is called after every batch. Stopped in
    /// the middle, what is done stays done.
    package func redrive(
        _ selection: JobSelection, _ what: Redrive, limit: Int = .max, batch: Int = 1000,
        progress: (RedriveProgress) -> Void = { _ in }
    ) async throws -> RedriveProgress {
        var total = RedriveProgress()
        guard let kind = try await names.find(kind: selection.kind) else {
            total.isDone = true
            return total
        }
        let queues = try await pool.execute(
            Statements.discardedQueues, [.int4(kind), .optional(selection.environmentID) { .int8($0) }]
        ).map { try $0.decode(Int32.self, Date.self) }
        for (queue, until) in queues {
            var place: (at: Date, jobID: Int64)?
            var isThrough = false
            while !isThrough {
                let most = min(batch, limit - total.moved)
                guard most > 0 else { return total }
                try Task.checkCancellation()
                let row = try await pool.execute(
                    Statements.redrive,
                    [
                        .int4(queue), .int4(kind), .optional(selection.errorType) { .text($0) },
                        .optional(selection.since) { .timestamptz($0) }, .timestamptz(until),
                        .optional(place) { .timestamptz($0.at) }, .optional(place) { .int8($0.jobID) },
                        .int4(Int32(clamping: batch)), .int4(Int32(clamping: most)), .bool(what == .delete),
                    ]
                ).first
                guard let row else { throw QueueError(.inconsistent, "a redrive returned no row") }
                let (seen, chosen, moved, at, jobID, isMore) = try row.decode(
                    Int.self, Int.self, Int.self, Date?.self, Int64?.self, Bool.self)
                isThrough = !isMore && seen < batch
                total.looked += seen
                total.moved += moved
                total.kept += chosen - moved
                if let at, let jobID { place = (at, jobID) }
                progress(total)
            }
        }
        total.isDone = true
        return total
    }

    /// Deletes discarded jobs into the history; returns how many. Jobs in other states are left alone.
    package func delete(_ jobIDs: [Int64]) async throws -> Int {
        try await pool.execute(Statements.deleteDiscarded, [.int8Array(jobIDs)]).value(Int.self) ?? 0
    }
}
