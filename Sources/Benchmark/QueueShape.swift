/// What is measured of the queue. Each has a file of its own, which says what is in its number.
package enum QueueShape: String, CaseIterable, Sendable {
    /// Enqueue, claim and settle with history, in a closed loop, at several batches.
    case life
}
