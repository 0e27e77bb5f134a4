import Logging
import Metrics
import Pacing
import ServiceLifecycle

/// Something to be done again and again. Any number of schedulers may do it at once: every duty claims its rows in the
/// database, none needs a leader.
struct PeriodicDuty: Service {
    let name: String
    let interval: Duration
    let logger: Logger
    /// Does a bounded piece of the work; true when there is more at once.
    let perform: @Sendable () async throws -> Bool

    /// Runs until graceful shutdown. A failure is logged (the first of a row, and every hundredth) and tried again
    /// after a backoff; it never ends the process.
    func run() async throws {
        await cancelWhenGracefulShutdown {
            let backoff = Backoff(base: max(interval, .milliseconds(100)), cap: .seconds(15))
            var failures = 0
            while !Task.isCancelled {
                var wait = interval
                do {
                    if try await perform() { wait = .zero }
                    if failures > 0 { logger.notice("duty works again", metadata: ["duty": "\(name)"]) }
                    failures = 0
                } catch {
                    if Task.isCancelled { return }
                    failures += 1
                    Counter(label: "duty_failures_total", dimensions: [("duty", name)]).increment()
                    if failures % 100 == 1 {
                        logger.error("duty failed", metadata: ["duty": "\(name)", "error": "\(error)"])
                    }
                    wait = backoff.delay(failures: failures)
                }
                if wait > .zero { try? await Task.sleep(for: wait) }
            }
        }
    }
}
