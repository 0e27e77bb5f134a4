import Credentials
import Egress
import Foundation
import Jobs
import Logging
import Metrics
import Pacing
import Postgres
import Queue
import Store
import Vault

/// One try to deliver one event to one endpoint, signed with every secret that is valid.
///
/// Delivery is at least once: when the answer is lost after the receiver took the event, or this process dies before the
/// outcome is committed, the event is sent again, under the same `webhook-id`. Tries end with a 2xx, a 410, or after
/// three days. A failure of ours, such as a keyring that does not open the secret, is no try: the job is retried and the
/// delivery stays as it was.
package struct DeliverWebhookHandler: JobHandler {
    package let kind = DeliverWebhook.kind
    /// Between failures of ours.
    package let backoff = Backoff(base: .seconds(5), cap: .seconds(900))

    private let pool: PostgresPool
    private let dispatcher: WebhookDispatcher
    private let vault: CredentialVault
    private let egress: EgressClient
    private let configuration: WebhookConfiguration
    private let logger: Logger
    private let metrics: WebhookMetrics

    package init(
        pool: PostgresPool, queue: JobQueue, vault: CredentialVault, egress: EgressClient,
        configuration: WebhookConfiguration, logger: Logger, metricsFactory: any MetricsFactory = MetricsSystem.factory
    ) {
        self.pool = pool
        dispatcher = WebhookDispatcher(pool: pool, queue: queue, configuration: configuration)
        self.vault = vault
        self.egress = egress
        self.configuration = configuration
        self.logger = logger
        metrics = WebhookMetrics(metricsFactory)
    }

    package func perform(_ job: LeasedJob, settlement: JobSettlement) async throws -> JobOutcome {
        let id = try DeliverWebhook(of: job).delivery
        // Gone with its endpoint, or ended by another worker.
        guard let due = try await Deliveries.due(id: id, in: pool), due.state == .pending else { return .complete }
        if let next = due.nextAttemptAt, next > due.now {
            return .snooze(.seconds(next.timeIntervalSince(due.now)))
        }
        let start = BootInstant.now()
        let verdict = try await attempt(due)
        let duration = start.duration(to: .now())
        metrics.record(verdict, duration: duration)
        try await pool.transaction { transaction in
            // The queue's rows first, as everywhere: its locks are taken in one order. The try is written down even
            // when the job has gone to another worker, because it was made.
            _ = try await settlement.settleIfMine(verdict.outcome, in: transaction)
            try await commit(verdict, of: due, duration: duration, in: transaction)
        }
        return .settled
    }

    // MARK: The try

    private func attempt(_ due: DueDelivery) async throws -> DeliveryVerdict {
        if due.isDisabled { return .givenUp(status: nil, error: "the endpoint is disabled") }
        guard due.document.count <= configuration.maximumBodyBytes else {
            let problem = "the event has \(due.document.count) bytes, more than \(configuration.maximumBodyBytes)"
            return .givenUp(status: nil, error: problem + "; read it from the feed")
        }
        let signature = StandardWebhooksSignature(
            id: due.eventUID, timestamp: Int64(due.now.timeIntervalSince1970), body: due.document,
            secrets: try await secrets(of: due))
        var request = EgressRequest(
            method: "POST", url: due.url, headers: [("content-type", "application/json")] + signature.headers,
            body: .bytes(due.document), policy: configuration.policy)
        request.timeout = configuration.timeout
        request.allowsPlainHTTP = configuration.allowsPlainHTTP
        let answer: DeliveryVerdict.Answer
        // Streamed, because the head alone decides: a receiver that has answered 200 has the event, whatever follows.
        switch await egress.stream(request) {
        case .answered(let head, _): answer = .status(head.status, retryAfter: head.headers["retry-after"])
        case .notSent(let failure), .ambiguous(let failure):
            // Shutting down is no fault of the receiver's.
            if failure.code == .cancelled || failure.code == .closed { throw CancellationError() }
            answer = .failure(failure)
        }
        var generator = SystemRandomNumberGenerator()
        return DeliveryVerdict.judge(
            answer, failures: due.attempts, now: due.now, until: due.deliverUntil, backoff: configuration.backoff,
            using: &generator)
    }

    private func secrets(of due: DueDelivery) async throws -> [WebhookSecret] {
        func open(_ sealed: [UInt8], version: Int64) async throws -> WebhookSecret {
            try WebhookSecret(
                parsing: try await vault.open(
                    sealed,
                    .webhookSecret(
                        environmentID: due.environmentID, endpointUID: due.endpointUID, version: version)))
        }
        var secrets = [try await open(due.secret, version: due.secretVersion)]
        if let previous = due.previousSecret {
            secrets.append(try await open(previous, version: due.secretVersion - 1))
        }
        return secrets
    }

    // MARK: What came of it

    private func commit(
        _ verdict: DeliveryVerdict, of due: DueDelivery, duration: Duration, in transaction: any PostgresQuerying
    ) async throws {
        guard try await Deliveries.record(verdict.attempt(duration), of: due.id, in: transaction) else { return }
        switch verdict {
        case .delivered:
            guard due.isFailing, try await WebhookEndpoints.noteWorking(id: due.endpointID, in: transaction) else {
                return
            }
            try await dispatcher.retell(endpointID: due.endpointID, in: transaction)
        case .gone:
            let reason = "it answered 410 Gone"
            if try await WebhookEndpoints.disable(
                id: due.endpointID, url: due.url, reason: reason, in: transaction)
            {
                logger.warning(
                    "webhook endpoint disabled", metadata: ["endpoint": "\(due.endpointUID)", "reason": "\(reason)"])
            }
        case .givenUp(_, let error):
            logger.warning(
                "webhook given up",
                metadata: ["endpoint": "\(due.endpointUID)", "event": "\(due.eventUID)", "error": "\(error)"])
            if !due.isDisabled { try await WebhookEndpoints.noteFailing(id: due.endpointID, in: transaction) }
        case .retry: break
        }
    }
}

extension DeliveryVerdict {
    fileprivate var outcome: JobOutcome {
        switch self {
        case .delivered, .gone, .givenUp: .complete
        // A snooze, not a retry: the tries are counted and limited by the delivery.
        case .retry(let after, _, _): .snooze(after)
        }
    }

    fileprivate func attempt(_ duration: Duration) -> DeliveryAttempt {
        switch self {
        case .delivered(let status): DeliveryAttempt(state: .delivered, status: status, duration: duration)
        case .gone:
            DeliveryAttempt(
                state: .failed, status: 410, error: "answered 410; the endpoint was disabled", duration: duration)
        case .retry(let after, let status, let error):
            DeliveryAttempt(
                state: .pending, status: status, error: error, duration: duration, nextAttemptIn: after)
        case .givenUp(let status, let error):
            DeliveryAttempt(state: .failed, status: status, error: error, duration: duration)
        }
    }
}
