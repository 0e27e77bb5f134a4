import Logging
import Metrics
import Pacing
import Synchronization

/// Sends requests, each at most once, to addresses that its policy permits.
///
/// Whoever gets `notSent` knows that no byte left, whoever gets `answered` has the whole answer; all else is `ambiguous`.
/// libcurl's own repetition of requests is switched off by the send hook (`releaseRequest`).
package final class EgressClient: Sendable {
    private struct LaneKey: Hashable {
        let policy: AddressPolicy
        /// libcurl remembers for each host whether its connections can be shared, and mixing both kinds makes it forget.
        let sharesConnections: Bool
    }

    private struct Lanes {
        var byKey: [LaneKey: Lane] = [:]
        var isClosed = false
    }

    private let configuration: EgressConfiguration
    private let logger: Logger
    private let metrics: EgressMetrics
    private let lanes = Mutex(Lanes())

    package init(
        configuration: EgressConfiguration = EgressConfiguration(), logger: Logger,
        metricsFactory: any MetricsFactory = MetricsSystem.factory
    ) {
        self.configuration = configuration
        self.logger = logger
        metrics = EgressMetrics(metricsFactory)
    }

    deinit {
        for lane in lanes.withLock({ $0.byKey.values }) { lane.stop() }
    }

    /// Sends `request` and collects the answer. Cancelling the task ends the request at once.
    package func send(_ request: EgressRequest) async -> EgressOutcome {
        let (outcome, _) = await run(request, streaming: false)
        return outcome
    }

    /// Sends `request` and returns as soon as the answer's head is whole. Cancelling the task ends the request at once while
    /// it waits for the head; afterwards the reader of the body has that say.
    package func stream(_ request: EgressRequest) async -> EgressStreamOutcome {
        let (outcome, transfer) = await run(request, streaming: true)
        switch outcome {
        case .notSent(let failure): return .notSent(failure)
        case .ambiguous(let failure): return .ambiguous(failure)
        case .answered(let response):
            guard let transfer, let buffer = transfer.stream else {
                return .ambiguous(EgressFailure(.local, "the answer has no stream"))
            }
            return .answered(
                head: EgressHead(status: response.status, headers: response.headers),
                body: EgressResponseBody(transfer: transfer, buffer: buffer))
        }
    }

    /// Ends all requests as `closed`, refuses new ones and returns when all connections are closed.
    package func close() async {
        let open = lanes.withLock { lanes in
            lanes.isClosed = true
            return Array(lanes.byKey.values)
        }
        for lane in open { lane.stop() }
        for lane in open { await lane.stopped() }
    }

    // MARK: one request

    private func run(_ request: EgressRequest, streaming: Bool) async -> (EgressOutcome, Transfer?) {
        let start = BootInstant.now()
        var (outcome, transfer) = await attempt(request, streaming)
        if case .ambiguous = outcome, transfer?.diedStale == true, request.canBeRepeated, !Task.isCancelled {
            var again = request
            again.freshConnection = true
            again.timeout = max(.milliseconds(1), request.timeout - start.duration(to: .now()))
            let second = await attempt(again, streaming)
            // The first one may have been acted upon, so a second that never left does not make it "not sent".
            if case .notSent = second.0 {} else { (outcome, transfer) = second }
        }
        metrics.record(outcome, since: start)
        switch outcome {
        case .notSent(let failure), .ambiguous(let failure):
            logger.debug("request without an answer", metadata: ["failure": "\(failure)"])
        case .answered: break
        }
        return (outcome, transfer)
    }

    private func attempt(_ request: EgressRequest, _ streaming: Bool) async -> (EgressOutcome, Transfer?) {
        let transfer: Transfer
        do {
            transfer = try prepare(request, streaming)
        } catch {
            return (.notSent(error), nil)
        }
        let lane = transfer.lane
        let outcome = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                transfer.waiter = continuation
                lane.post(.start(transfer))
                if case .stream(let source, _) = request.body {
                    transfer.upload?.start(source) { lane.post(.resume(transfer)) }
                }
            }
        } onCancel: {
            lane.post(.cancel(transfer))
        }
        return (outcome, transfer)
    }

    private func prepare(_ request: EgressRequest, _ streaming: Bool) throws(EgressFailure) -> Transfer {
        let plan = try RequestPlan(request, userAgent: configuration.userAgent)
        let lane = try lane(for: LaneKey(policy: request.policy, sharesConnections: plan.sharesConnection))
        guard let easy = lane.handle() else {
            throw EgressFailure(.local, "no memory for a request to \(plan.origin)")
        }
        var upload: UploadSource?
        if case .stream(_, let length) = request.body { upload = UploadSource(length: length) }
        let transfer = try Transfer(
            plan: plan, easy: easy, lane: lane, stream: streaming ? ResponseBuffer() : nil, upload: upload)
        if streaming { transfer.headDeadline = BootInstant.now().advanced(by: request.timeout) }
        return transfer
    }

    private func lane(for key: LaneKey) throws(EgressFailure) -> Lane {
        let found = lanes.withLock { lanes -> Result<Lane, EgressFailure> in
            if lanes.isClosed { return .failure(EgressFailure(.closed, "the client is closed")) }
            if let lane = lanes.byKey[key] { return .success(lane) }
            let lane = Result { () throws(EgressFailure) in try Lane(policy: key.policy, configuration: configuration) }
            if case .success(let lane) = lane { lanes.byKey[key] = lane }
            return lane
        }
        return try found.get()
    }
}

extension EgressRequest {
    /// It asks for that, and the body is at hand.
    fileprivate var canBeRepeated: Bool {
        guard retriesIdempotent, isIdempotent else { return false }
        if case .stream = body { return false }
        return true
    }
}
