import Jobs
import Lifecycle
import Pacing
import Queue

/// One attempt to refresh a connection. Whatever the provider says is written on the connection's row, which owns the
/// retry; the job itself is complete. Performed twice, it finds the generation moved and does nothing.
struct RefreshHandler: JobHandler {
    let kind = RefreshConnection.kind
    let attempts: RefreshAttempts

    func perform(_ job: LeasedJob, settlement: JobSettlement) async throws -> JobOutcome {
        let arguments = try RefreshConnection(of: job)
        let result = try await attempts.refresh(
            connectionID: arguments.connection, generation: arguments.generation, reopens: arguments.reopens ?? false,
            isAdmitted: !job.limitKeys.isEmpty)
        // A broken connection is not planned: while an alternate waits to be presented, the job keeps at it.
        if arguments.reopens == true, case .trouble(_, let wait) = result { return .snooze(wait) }
        return .complete
    }
}
