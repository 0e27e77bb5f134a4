import Jobs
import Lifecycle
import Queue

/// One probe of a connection's credential. What it finds is written on the row.
struct ValidateHandler: JobHandler {
    let kind = ValidateConnection.kind
    let validation: ConnectionValidation

    func perform(_ job: LeasedJob, settlement: JobSettlement) async throws -> JobOutcome {
        _ = try await validation.validate(connectionID: ValidateConnection(of: job).connection)
        return .complete
    }
}
