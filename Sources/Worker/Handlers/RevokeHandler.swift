import Jobs
import Lifecycle
import Queue

/// One attempt to revoke a deleted connection. The row owns the retry; the scheduler enqueues the next attempt.
struct RevokeHandler: JobHandler {
    let kind = RevokeConnection.kind
    let revocation: ConnectionRevocation

    func perform(_ job: LeasedJob, settlement: JobSettlement) async throws -> JobOutcome {
        guard let wait = try await revocation.attempt(connectionID: RevokeConnection(of: job).connection) else {
            return .complete
        }
        return .snooze(wait)
    }
}
