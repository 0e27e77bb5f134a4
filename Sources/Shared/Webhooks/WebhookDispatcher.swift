import Jobs
import Postgres
import Queue
import Store

/// From the outbox to jobs: gives new events their place in the feed, a delivery for each endpoint that wants them, and a
/// job for each delivery, all in one transaction. Run as many as there are schedulers: what one has taken the others
/// pass over, and a crash undoes all of a batch or nothing.
package struct WebhookDispatcher: Sendable {
    private let pool: PostgresPool
    private let queue: JobQueue
    private let configuration: WebhookConfiguration

    package init(pool: PostgresPool, queue: JobQueue, configuration: WebhookConfiguration) {
        self.pool = pool
        self.queue = queue
        self.configuration = configuration
    }

    /// Handles up to `limit` new events.
    /// - Returns: how many; call again at once when it was `limit`.
    package func dispatch(limit: Int = 500) async throws -> Int {
        let (events, deliveries) = try await pool.transaction { transaction in
            let (events, deliveries) = try await Events.sequence(limit: limit, in: transaction)
            try await enqueue(deliveries, in: transaction)
            return (events, deliveries.count)
        }
        if deliveries > 0 { await queue.wakeRunners() }
        return events
    }

    /// Gives new jobs to pending deliveries whose own went missing: discarded after failures of ours, or lost with a
    /// restored database. A delivery whose job is alive gets no second one.
    /// - Returns: how many there were.
    package func sweep(limit: Int = 500) async throws -> Int {
        try await pool.transaction { transaction in
            let forgotten = try await Deliveries.claimForgotten(
                overdue: configuration.forgottenAfter, limit: limit, in: transaction)
            try await enqueue(forgotten, in: transaction)
            return forgotten.count
        }
    }

    /// Sends a `webhook.test` event to one endpoint. False when there is no such endpoint.
    package func sendTest(endpointID: Int64) async throws -> Bool {
        let isThere = try await pool.transaction { transaction in
            guard let delivery = try await Events.insertTest(endpointID: endpointID, in: transaction) else {
                return false
            }
            try await enqueue([delivery], lane: .awaited, in: transaction)
            return true
        }
        if isThere { await queue.wakeRunners() }
        return isThere
    }

    /// Enqueues the jobs of these deliveries in the transaction that made them.
    func enqueue(
        _ deliveries: [WaitingDelivery], lane: Lane = .due, in transaction: any PostgresQuerying
    ) async throws {
        if deliveries.isEmpty { return }
        let jobs = try deliveries.map { delivery in
            let arguments = DeliverWebhook(delivery: delivery.id)
            return try arguments.job(
                environmentID: delivery.environmentID, priority: lane, uniqueKey: arguments.uniqueKey)
        }
        _ = try await queue.enqueue(jobs, in: transaction)
    }
}
