import Queue

/// Completes every job and tells.
struct NoOpHandler: JobHandler {
    let kind: String
    let started: @Sendable (LeasedJob) -> Void

    init(_ kind: String = QueueDatabase.kind, started: @escaping @Sendable (LeasedJob) -> Void) {
        self.kind = kind
        self.started = started
    }

    func perform(_ job: LeasedJob, settlement: JobSettlement) async throws -> JobOutcome {
        started(job)
        return .complete
    }
}
