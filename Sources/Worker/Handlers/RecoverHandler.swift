import Foundation
import Jobs
import Lifecycle
import Queue

/// Recovery of an attempt that is open past its deadline.
struct RecoverHandler: JobHandler {
    let kind = RecoverAttempt.kind
    let attempts: RefreshAttempts

    func perform(_ job: LeasedJob, settlement: JobSettlement) async throws -> JobOutcome {
        let arguments = try RecoverAttempt(of: job)
        guard let nonce = UUID(uuidString: arguments.nonce) else {
            return .discard(error: JobFailure(type: "BadArguments", message: "nonce is no UUID"))
        }
        _ = try await attempts.recover(connectionID: arguments.connection, nonce: nonce)
        return .complete
    }
}
