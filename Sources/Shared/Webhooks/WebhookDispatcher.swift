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
            let (events, deliveries) = try await Events.sequence(
                limit: limit, patience: configuration.giveUpAfter, in: transaction)
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

    /// Sends one event to one endpoint again, at once and under the same `webhook-id`: for a delivery that ended a new
    /// round of tries, for a pending one the next try.
    /// - Returns: false when the endpoint is disabled.
    package func redeliver(deliveryID: Int64) async throws -> Bool {
        let isThere = try await pool.transaction { transaction in
            guard
                let delivery = try await Deliveries.redeliver(
                    id: deliveryID, patience: configuration.giveUpAfter, in: transaction)
            else { return false }
            try await enqueue([delivery], lane: .awaited, in: transaction)
            return true
        }
        if isThere { await queue.wakeRunners() }
        return isThere
    }

    /// Sends the events of a range to an endpoint again, each under its `webhook-id`, in lane bulk: after all that is due,
    /// and as many at a time as the endpoint's limit allows.
    /// - Returns: how many deliveries there are, and the position to go on after when the limit was reached.
    package func replay(_ range: ReplayRange, endpointID: Int64) async throws -> (count: Int, next: Int64?) {
        let (count, next) = try await pool.transaction { transaction in
            let (deliveries, next) = try await Deliveries.replay(
                range, endpointID: endpointID, patience: configuration.giveUpAfter, in: transaction)
            try await enqueue(deliveries, lane: .bulk, in: transaction)
            return (deliveries.count, next)
        }
        if count > 0 { await queue.wakeRunners() }
        return (count, next)
    }

    /// Removes deliveries and events that are past their time, a bounded number; true when there may be more.
    package func prune() async throws -> Bool {
        let deliveries = try await Deliveries.prune(olderThan: configuration.keepDeliveries, limit: 5000, in: pool)
        let events = try await Events.prune(olderThan: configuration.keepEvents, limit: 1000, pool: pool)
        return deliveries == 5000 || events >= 1000
    }

    /// Sends the breaks that stand and that an endpoint was never told.
    func retell(endpointID: Int64, in transaction: any PostgresQuerying) async throws {
        try await enqueue(
            try await Deliveries.retellBreaks(
                endpointID: endpointID, patience: configuration.giveUpAfter, in: transaction), in: transaction)
    }

    /// What all deliveries to an endpoint are limited by.
    package static func limitKey(endpointUID: String) -> String { "webhook:\(endpointUID)" }

    /// Gives an endpoint that was just made its limit, unless there is one.
    func limit(endpointUID: String) async throws {
        let key = Self.limitKey(endpointUID: endpointUID)
        guard try await queue.limit(key) == nil else { return }
        try await queue.setLimit(JobLimit(key: key, concurrency: configuration.concurrency))
    }

    /// Lifts the limit of an endpoint that is gone.
    func lift(endpointUID: String) async throws {
        try await queue.removeLimit(Self.limitKey(endpointUID: endpointUID))
    }

    /// Enqueues the jobs of these deliveries in the transaction that made them.
    func enqueue(
        _ deliveries: [WaitingDelivery], lane: Lane = .due, in transaction: any PostgresQuerying
    ) async throws {
        if deliveries.isEmpty { return }
        let jobs = try deliveries.map { delivery in
            let arguments = DeliverWebhook(delivery: delivery.id)
            var job = try arguments.job(
                environmentID: delivery.environmentID, priority: lane, uniqueKey: arguments.uniqueKey)
            job.limitKeys = [Self.limitKey(endpointUID: delivery.endpointUID)]
            return job
        }
        _ = try await queue.enqueue(jobs, in: transaction)
    }
}
