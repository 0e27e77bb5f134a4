import Pacing
import Postgres
import Synchronization

/// A handler's means to settle its job inside its own transaction, so that effect and outcome commit together.
///
/// `settle` is for effects that the lease alone protects: it takes the lease row first, so a worker that was taken for
/// dead changes nothing. `settleIfMine` is for effects with a fence of their own, which must be written even when the job
/// has gone to another worker. Either is called once, and the handler returns `.settled` after its commit.
package struct JobSettlement: Sendable {
    private let job: LeasedJob
    private let backoff: Backoff
    private let runner: RunnerState
    private let record = Record()

    /// What was settled, for metrics; and whether the lease closed with it.
    final class Record: Sendable {
        let outcome = Mutex<JobOutcome?>(nil)
    }

    init(job: LeasedJob, backoff: Backoff, runner: RunnerState) {
        self.job = job
        self.backoff = backoff
        self.runner = runner
    }

    /// The outcome that was last settled through this.
    var settled: JobOutcome? { record.outcome.withLock { $0 } }
    /// The lease has no other job: settling it closes it.
    var closesLease: Bool { job.leaseSize == 1 }

    /// Settles the job in the caller's transaction. Throws `QueueError` with code `leaseLost` when the job is not this
    /// worker's any more: the transaction must not commit (the server has failed it already). Locks the lease row against
    /// rescue, and the job's unique key, until the transaction ends.
    package func settle(_ outcome: JobOutcome, in database: any PostgresQuerying) async throws {
        guard let parameters = try parameters(outcome) else { throw QueueError.leaseLost(job.jobID) }
        do {
            try await database.execute(Statements.settle, parameters)
        } catch let error as PostgresError where error.sqlState == "EG001" || error.sqlState == "EG002" {
            throw QueueError.leaseLost(job.jobID)
        }
        record.outcome.withLock { $0 = outcome }
    }

    /// Settles the job in the caller's transaction if it still is this worker's; false if not. Never fails the transaction
    /// for a lost lease.
    @discardableResult
    package func settleIfMine(_ outcome: JobOutcome, in database: any PostgresQuerying) async throws -> Bool {
        guard let parameters = try parameters(outcome) else { return false }
        let rows = try await database.execute(Statements.settleIfMine, parameters)
        let mine = try rows.value(Bool.self) ?? false
        record.outcome.withLock { $0 = outcome }
        return mine
    }

    /// The same as a statement, for a pipeline: one row of one `boolean`. It must be sent before the handler returns
    /// `.settled`, and not be used twice. A job that is not this worker's any more answers false.
    package func settleIfMineStatement(_ outcome: JobOutcome) -> (PostgresStatement, [PostgresParameter]) {
        record.outcome.withLock { $0 = outcome }
        let settlement = Settlement(outcome, of: job, backoff: backoff) ?? .givenBack
        _ = runner.touch(job)
        return (Statements.settleIfMine, parameters(settlement))
    }

    private func parameters(_ outcome: JobOutcome) throws -> [PostgresParameter]? {
        guard let settlement = Settlement(outcome, of: job, backoff: backoff) else {
            throw QueueError(.invalid, "`.settled` is what a handler returns, not what it settles")
        }
        return runner.touch(job) ? parameters(settlement) : nil
    }

    private func parameters(_ settlement: Settlement) -> [PostgresParameter] {
        [
            .int8(job.lease.leaseID), .int8(job.lease.workerID), .int8(job.jobID), .int2(settlement.act),
            .float8(settlement.delay), .optional(settlement.note) { .jsonb($0) }, .bool(closesLease),
        ]
    }
}
