import Foundation

/// Keeps the answer of a code exchange durable before it is committed: the escrow journal, or nothing at all where the
/// operator asked for that.
package protocol AnswerEscrow: Sendable {
    /// Returns once `payload` would survive a crash.
    /// - Parameter payload: sealed by the caller.
    func keep(_ payload: [UInt8], key: UUID) async throws
    /// The answer was committed, or is of no use: recovery need not look at it.
    func settle(key: UUID) async
}
