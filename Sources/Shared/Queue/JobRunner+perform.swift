import Logging
import Pacing
import Postgres

/// Who performs the jobs of one kind, and counts them.
struct Performer: Sendable {
    let handler: any JobHandler
    let metrics: KindMetrics
}

extension JobRunner {
    /// Runs one handler and takes in its outcome.
    func perform(_ job: LeasedJob, _ performer: Performer) async {
        let handler = performer.handler
        let settlement = JobSettlement(job: job, backoff: handler.backoff, runner: state)
        let began = BootInstant.now()
        withUnsafeCurrentTask { task in
            guard let task else { return }
            let running = RunningTask(task: task)
            state.withLock {
                $0.tasks[job.jobID] = running
                $0.counters.add(.started, job.lane)
            }
        }
        let outcome: JobOutcome
        do {
            outcome = try await handler.perform(job, settlement: settlement)
        } catch let error as QueueError where error.code == .leaseLost {
            // Whatever it was doing is undone; closing the lease finds out whether it is gone.
            outcome = .settled
        } catch {
            outcome = isCancelled(job) ? .cancel : .retry(error: JobFailure(error))
            logger.debug(
                "job failed",
                metadata: [
                    "kind": "\(job.kind)", "job": "\(job.jobID)", "attempt": "\(job.attempt)", "error": "\(error)",
                ])
        }
        performer.metrics.ran(began.duration(to: .now()))
        let done = Settlement(outcome, of: job, backoff: handler.backoff)
        let settled = settlement.settled
        performer.metrics.settled(
            done?.act == 5 ? "discard" : (outcome == .settled ? settled ?? outcome : outcome).label)
        let own = done == nil ? settled.flatMap { Settlement($0, of: job, backoff: handler.backoff) } : nil
        state.finish(
            job, done, as: own.flatMap(LaneCounters.Event.init), trusted: settled != nil && settlement.closesLease)
    }

    private func isCancelled(_ job: LeasedJob) -> Bool { state.withLock { $0.cancelled.contains(job.jobID) } }
}
