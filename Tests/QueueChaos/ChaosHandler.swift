import ChaosSupport
import Foundation
import Pacing
import Postgres
import Queue

/// Performs the jobs of one kind and writes down that it did.
struct ChaosHandler: JobHandler {
    let kind: String
    let backoff = Backoff(base: .milliseconds(20), cap: .milliseconds(200))
    private let does: ChaosKind
    private let pool: PostgresPool
    private let history: HistoryFile
    private let pace: Pace

    init(_ does: ChaosKind, pool: PostgresPool, history: HistoryFile, pace: Pace) {
        kind = does.rawValue
        self.does = does
        self.pool = pool
        self.history = history
        self.pace = pace
    }

    /// A job's arguments.
    struct Arguments: Codable, Sendable {
        var token: String
        var key: String?
        /// How long it works; nil: as the worker likes.
        var work: Int?
    }

    func perform(_ job: LeasedJob, settlement: JobSettlement) async throws -> JobOutcome {
        let arguments = try JSONDecoder().decode(Arguments.self, from: Data(job.arguments))
        history.record(
            .started(
                Start(
                    job: job.jobID, lease: job.lease.leaseID, worker: job.lease.workerID, kind: does,
                    priority: job.priority, attempt: job.attempt, crashes: job.crashes, key: arguments.key,
                    token: arguments.key == nil ? arguments.token : nil, limitKeys: job.limitKeys)))
        var finish = Finish(job: job.jobID, lease: job.lease.leaseID, ending: .threw)
        do {
            let (ending, outcome) = try await work(job, arguments, settlement, &finish.saw)
            finish.ending = ending
            history.record(.finished(finish))
            return outcome
        } catch {
            if Task.isCancelled {
                finish.ending = .stopped
            } else if let error = error as? QueueError, error.code == .leaseLost {
                finish.ending = .lost
            }
            history.record(.finished(finish))
            throw error
        }
    }

    private func work(
        _ job: LeasedJob, _ arguments: Arguments, _ settlement: JobSettlement, _ saw: inout [String]
    ) async throws -> (Ending, JobOutcome) {
        let length =
            arguments.work ?? (.random(in: 0..<100) < pace.longShare ? pace.longWork : .random(in: 0...pace.work))
        switch does {
        case .plain:
            try await Task.sleep(for: .milliseconds(length))
            return (.completed, .complete)
        case .effect: return try await settleWithEffect(job, settlement, length)
        case .fenced:
            try await Task.sleep(for: .milliseconds(length))
            return (try await settleBehindFence(job, arguments, settlement) ? .fencedMine : .fencedLost, .settled)
        case .trouble:
            try await Task.sleep(for: .milliseconds(length))
            return try trouble()
        case .keyed:
            saw = try await pool.execute(
                ChaosSQL.see, [.text(arguments.key ?? ""), .int8(job.jobID)]
            ).map { try $0.decode(String.self) }
            if job.jobID % 2 == 0 { return try await settleWithEffect(job, settlement, length) }
            try await Task.sleep(for: .milliseconds(length))
            return (.completed, .complete)
        }
    }

    /// An effect that only the lease protects. One in five first attempts is to be tried again, which is an effect as well.
    private func settleWithEffect(
        _ job: LeasedJob, _ settlement: JobSettlement, _ length: Int
    ) async throws -> (Ending, JobOutcome) {
        let again = does == .effect && job.attempt == 1 && job.jobID % 5 == 0
        // Half of the work with the transaction open and the effect written, half before.
        try await Task.sleep(for: .milliseconds(length / 2))
        try await pool.transaction { transaction in
            try await transaction.execute(
                ChaosSQL.writeEffect,
                [
                    .int8(job.jobID), .int4(Int32(job.attempt)), .int8(job.lease.leaseID), .int8(job.lease.workerID),
                    .bool(!again),
                ])
            try await Task.sleep(for: .milliseconds(length - length / 2))
            history.record(.settling(job: job.jobID, lease: job.lease.leaseID))
            try await settlement.settle(
                again
                    ? .retry(error: JobFailure(type: "Again", message: "as planned"), after: .milliseconds(20))
                    : .complete,
                in: transaction)
        }
        return (again ? .settledRetry : .settledDone, .settled)
    }

    /// An effect whose fence is its token; committed whoever has the job by now.
    private func settleBehindFence(
        _ job: LeasedJob, _ arguments: Arguments, _ settlement: JobSettlement
    ) async throws -> Bool {
        let effect: (PostgresStatement, [PostgresParameter]) = (
            ChaosSQL.writeFenced, [.text(arguments.token), .int8(job.lease.leaseID)]
        )
        history.record(.settling(job: job.jobID, lease: job.lease.leaseID))
        if job.jobID % 2 == 0 {
            let answers = try await pool.pipeline([effect, settlement.settleIfMineStatement(.complete)])
            return try answers.last?.first?.decode(Bool.self) ?? false
        }
        return try await pool.transaction { transaction in
            try await transaction.execute(effect.0, effect.1)
            return try await settlement.settleIfMine(.complete, in: transaction)
        }
    }

    private func trouble() throws -> (Ending, JobOutcome) {
        switch Int.random(in: 0..<100) {
        case ..<20: return (.retried, .retry(error: JobFailure(type: "Trouble", message: "again, please")))
        case ..<30:
            return (.retried, .retry(error: JobFailure(type: "Trouble", message: "at once"), after: .zero))
        case ..<40: throw ChaosError("the handler failed, as planned")
        case ..<50: return (.snoozed, .snooze(.milliseconds(.random(in: 0...100))))
        case ..<60: return (.gaveBack, .giveBack)
        case ..<65: return (.discarded, .discard(error: JobFailure(type: "Trouble", message: "never again")))
        case ..<70: return (.cancelled, .cancel)
        default: return (.completed, .complete)
        }
    }
}
