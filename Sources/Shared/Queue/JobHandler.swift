import Pacing

/// Performs the jobs of one kind. A job may be performed more than once: after a crash, a lost database connection, or
/// when its worker was taken for dead.
package protocol JobHandler: Sendable {
    var kind: String { get }
    /// The wait before the next attempt.
    var backoff: Backoff { get }
    /// Does the work and says what becomes of the job. A thrown error is `.retry` with that error. Is cancelled when an
    /// operator cancels the job (a thrown error is then `.cancel`), and when the process must stop.
    func perform(_ job: LeasedJob, settlement: JobSettlement) async throws -> JobOutcome
}

extension JobHandler {
    /// 2 s, doubled with each attempt up to 15 minutes.
    package var backoff: Backoff { Backoff(base: .seconds(2), cap: .seconds(900)) }
}
