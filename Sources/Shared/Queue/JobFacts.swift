#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What `evergrant.explain_job` answers. Times are seconds since 1970.
struct JobFacts: Decodable {
    struct Limit: Decodable {
        let key: String
        let paused: Bool
        let concurrency: Int?
        let in_use: Int?
        let rate: Double?
        let room: Int?
        let wait: Double?
        let blocked_until: Double?
        let blocked_because: String?
        let waiting: Bool
    }
    struct Ahead: Decodable {
        let environment_id: Int64
        let queue: String
        let priority: Int16
        let jobs: Int
    }

    let read_at: Double
    let state: String?
    let kind: String?
    let at: Double?
    let error: JobAttemptError?
    let cancel_asked: Bool?
    let queue: String?
    let environment_id: Int64?
    let queue_paused: Bool?
    let kind_paused: Bool?
    let limits: [Limit]?
    let runners: Int?
    let knowing: Int?
    let others: Int?
    let last_beat: Double?
    let parked_reason: String?
    let parked_key: String?
    let worker: Int64?
    let worker_name: String?
    let worker_dead: Bool?
    let since: Double?
    let worker_beat: Double?
    let locked: Bool?
    let locked_by: Int32?
    let position: Int?
    let ahead: [Ahead]?
    let beside: Int?
    let again_at: Double?
    let wishes: Int?

    /// Reasons, the first one first to end.
    func reasons(of state: JobState) -> [JobReason] {
        switch state {
        case .completed, .cancelled, .deleted: return [.ended(state, at: date(at))]
        case .discarded: return [.discarded(at: date(at), error: cause)]
        case .running: return whileRunning
        case .available, .scheduled, .retryable, .parked: break
        }
        let isDue = state == .parked || at.map { $0 <= read_at } ?? true
        // Of what limits have now, only a block that is still there then keeps a job that is due later.
        let limiting = ofLimits(state).filter { reason in
            guard !isDue, let at else { return true }
            if case .limitBlocked(_, let until, _) = reason { return until.timeIntervalSince1970 > at }
            return false
        }
        var reasons = ofTime(state) + ofPauses(state) + limiting + ofWorkers
        if locked == true { reasons.append(.held(byProcess: locked_by)) }
        if state == .parked, reasons.isEmpty { reasons = [.returning] }
        if at == nil, let position {
            reasons.append(
                .inLine(
                    position: position, isCapped: position > 10_000,
                    ahead: (ahead ?? []).map {
                        JobReason.LaneAhead(
                            environmentID: $0.environment_id, queue: $0.queue, priority: $0.priority, jobs: $0.jobs)
                    }, beside: beside ?? 0))
        }
        return reasons + more
    }

    private var whileRunning: [JobReason] {
        let worker = worker ?? 0
        let first: JobReason =
            worker_dead ?? true
            ? .awaitingRescue(worker: worker)
            : .running(
                worker: worker, name: worker_name, since: date(since),
                beatAge: max(0, read_at - (worker_beat ?? read_at)))
        return [first] + (cancel_asked == true ? [.cancelAsked] : []) + more
    }

    /// What else is wanted of its key.
    private var more: [JobReason] {
        (again_at.map { [.wantedAgain(at: date($0), wishes: 0)] } ?? [])
            + (wishes.flatMap { $0 > 0 ? [.wantedAgain(at: nil, wishes: $0)] : nil } ?? [])
    }

    private func ofTime(_ state: JobState) -> [JobReason] {
        guard state != .parked, let at, let due = date(at) else { return [] }
        return at > read_at
            ? [.notDue(at: due, error: cause)] : [.awaitingPromotion(dueAt: due, schedulers: others ?? 0)]
    }

    private func ofPauses(_ state: JobState) -> [JobReason] {
        var reasons: [JobReason] = []
        if queue_paused == true, let queue {
            reasons.append(.queuePaused(QueueName(environmentID: environment_id ?? 0, name: queue)))
        }
        if kind_paused == true, let kind {
            reasons.append(.kindPaused(kind, parked: state == .parked && parked_reason == "kind"))
        }
        reasons += (limits ?? []).filter(\.paused).map {
            .limitKeyPaused($0.key, parked: state == .parked && parked_reason == "limit" && parked_key == $0.key)
        }
        return reasons
    }

    private func ofLimits(_ state: JobState) -> [JobReason] {
        (limits ?? []).compactMap { limit in
            let isWaiting = state == .parked && parked_reason == "wait" && parked_key == limit.key
            let place = isWaiting ? position : nil
            if let until = date(limit.blocked_until) {
                return .limitBlocked(
                    key: limit.key, until: until, because: limit.blocked_because ?? "no reason is given")
            }
            if let concurrency = limit.concurrency, let inUse = limit.in_use, inUse >= concurrency {
                return .limitFull(key: limit.key, inUse: inUse, concurrency: concurrency, position: place)
            }
            if let rate = limit.rate, limit.room == 0, let wait = limit.wait {
                return .limitRate(
                    key: limit.key, rate: rate, until: Date(timeIntervalSince1970: read_at + wait), position: place)
            }
            // Those parked come back by `claim_parked`; a job in line goes to the end of their line.
            if isWaiting, let place, place > 1 { return .behindWaiting(key: limit.key) }
            return limit.waiting && state != .parked ? .behindWaiting(key: limit.key) : nil
        }
    }

    private var ofWorkers: [JobReason] {
        if runners == 0 { return [.noWorker(lastBeat: date(last_beat))] }
        if knowing == 0, let kind { return [.noWorkerKnowsKind(kind, workers: runners ?? 0)] }
        return []
    }

    private var cause: String? { error.map { "\($0.type): \($0.message)" } }

    private func date(_ seconds: Double?) -> Date? { seconds.map { Date(timeIntervalSince1970: $0) } }
}
