import Catalog
import Credentials
import Foundation
import Jobs
import Logging
import Metrics
import Pacing
import Postgres
import Queue
import Store
import Synchronization

/// Finds what is due and enqueues it. Any number may plan at once: planning is a timed claim on the row, committed
/// together with the job.
package final class LifecyclePlanner: Sendable {
    private let services: LifecycleServices
    private let batch: Int
    /// When this process first saw each open mark, by its own boot-time clock.
    private let seen = Mutex<[UUID: BootInstant]>([:])

    /// - Parameter batch: rows a sweep claims at a time.
    package init(_ services: LifecycleServices, batch: Int = 500) {
        self.services = services
        self.batch = batch
    }

    /// Seconds of work that may wait in line behind one limit.
    private static let lineDepth = 120.0

    /// Claims refreshes that are due, most urgent first, and enqueues them; what finds the line behind its limit full comes
    /// due again when there may be room.
    /// - Parameter limit: at most so many; nil: a batch.
    /// - Returns: how many were claimed.
    package func planRefreshes(limit: Int? = nil) async throws -> Int {
        let timings = services.timings
        let size = min(limit ?? batch, batch)
        let count = try await services.pool.transaction { [services] transaction in
            let due = try await Attempts.claimDue(
                limit: size, claim: timings.claim, horizon: timings.endangeredWithin, in: transaction)
            if due.isEmpty { return 0 }
            let limits = try await services.limits.applicable(to: due, in: transaction)
            for one in limits.values { try await services.limits.prepare(one) }
            let (now, later) = try await services.limits.place(due, limits, depth: Self.lineDepth)
            let jobs = try now.map { connection in
                var job = try RefreshConnection(connection: connection.id, generation: connection.generation).job(
                    environmentID: connection.environmentID, priority: connection.isAmbiguous ? .closing : .due)
                job.limitKeys = connection.oauthAppID.flatMap { limits[$0]?.keys } ?? []
                return job
            }
            if !jobs.isEmpty { _ = try await services.queue.enqueue(jobs, in: transaction) }
            if !later.isEmpty { try await Attempts.postpone(later, in: transaction) }
            return due.count
        }
        if count > 0 { await services.queue.wakeRunners() }
        return count
    }

    /// Tells apps ahead of ends that refreshing cannot move.
    /// - Returns: how many connections were looked at.
    package func tellEnds() async throws -> Int {
        try await EndWarnings.tell(
            before: services.timings.planning.warnBefore, limit: batch, in: services.pool)
    }

    /// Enqueues probes that are due.
    package func planValidations() async throws -> Int {
        try await plan(Validations.claimDue) { connection in
            let arguments = ValidateConnection(connection: connection.id)
            return try arguments.job(
                environmentID: connection.environmentID, priority: .bulk, uniqueKey: arguments.uniqueKey)
        }
    }

    /// Enqueues revocations whose next try is due; the first was enqueued with the deletion.
    package func planRevocations() async throws -> Int {
        try await plan(Revocations.claimDue) { connection in
            let arguments = RevokeConnection(connection: connection.id)
            return try arguments.job(
                environmentID: connection.environmentID, priority: .due, uniqueKey: arguments.uniqueKey)
        }
    }

    /// Claims a batch of what is due and enqueues a job for each, in one transaction.
    private func plan<Due: Sendable>(
        _ claim: @Sendable (_ limit: Int, _ claim: Duration, _ db: any PostgresQuerying) async throws -> [Due],
        job: @Sendable (Due) throws -> NewJob
    ) async throws -> Int {
        let count = try await services.pool.transaction { [self] transaction in
            let due = try await claim(batch, services.timings.claim, transaction)
            let jobs = try due.map(job)
            if !jobs.isEmpty { _ = try await services.queue.enqueue(jobs, in: transaction) }
            return due.count
        }
        if count > 0 { await services.queue.wakeRunners() }
        return count
    }

    /// Looks after attempts that are open past their deadline: waits where the class says so, else enqueues recovery.
    package func planRecoveries() async throws -> Int {
        let open = try await Attempts.openPastDeadline(limit: batch, in: services.pool)
        var jobs: [NewJob] = []
        for attempt in open {
            if try await mustWait(attempt) { continue }
            let arguments = RecoverAttempt(connection: attempt.connectionID, nonce: attempt.nonce.uuidString)
            jobs.append(
                try arguments.job(
                    environmentID: attempt.environmentID, priority: .closing, uniqueKey: arguments.uniqueKey))
        }
        if !jobs.isEmpty { _ = try await services.queue.enqueue(jobs, in: nil) }
        let present = Set(open.map(\.nonce))
        seen.withLock { $0 = $0.filter { present.contains($0.key) || $0.value.duration(to: .now()) < .seconds(7200) } }
        return jobs.count
    }

    /// `strict` waits as its rule says, and for as long as an attempt on this process's own clock: neither a stepped
    /// clock of the database nor a frozen one shortens the wait.
    private func mustWait(_ attempt: OpenAttempt) async throws -> Bool {
        guard attempt.state != .revoking else { return false }
        // After a change of server nobody takes over until the journals are replayed; replayable ones lose nothing.
        if services.server.hold != nil, try services.rule(of: attempt)?.replayClass != .replayable { return true }
        let mark = AttemptMark(connectionID: attempt.connectionID, nonce: attempt.nonce)
        switch try services.recoveryDecision(attempt) {
        case .wait(let until):
            _ = observe(attempt.nonce)
            let wait = Duration.seconds(max(1, until.timeIntervalSince(attempt.now)))
            _ = try await Attempts.leaveOpen(mark, recoverIn: wait, in: services.pool)
            return true
        case .present, .giveUp:
            guard let provider = services.catalog.provider(attempt.provider),
                try services.rule(provider: provider, appParameters: attempt.appParameters).replayClass == .strict
            else { return false }
            return observe(attempt.nonce) < services.timings.attemptLength
        }
    }

    private func observe(_ nonce: UUID) -> Duration {
        let now = BootInstant.now()
        return seen.withLock { seen in
            let first = seen[nonce] ?? now
            seen[nonce] = first
            return first.duration(to: now)
        }
    }
}
