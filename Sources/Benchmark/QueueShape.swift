/// What is measured of the queue. Each has a file of its own, which says what is in its number.
package enum QueueShape: String, CaseIterable, Sendable {
    /// Enqueue, claim and settle with history, in a closed loop, at several batches.
    case life
    /// A queue filled beforehand is emptied.
    case burndown
    /// What a claim costs with many jobs waiting, and with many dead index entries behind the low-water mark.
    case backlog
    /// `life` while a reader keeps its snapshot.
    case heldSnapshot = "held-snapshot"
    /// From the call that enqueues to the start of the handler.
    case pickup
    /// From the SIGKILL of a worker to the restart of its jobs.
    case rescue
    /// What a job's life writes to the write-ahead log.
    case wal
    /// One job of an environment beside another environment's backlog.
    case noisy
    /// Limits over several runners: that they hold, and what they cost.
    case limits
}
