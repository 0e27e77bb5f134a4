import Logging
import Queue

/// The queue's own duties: promotion of what has come due, ticks of schedules, folding of wishes, repeats of
/// cancellations, days of history, depth gauges.
struct JobHousekeeper: Sendable {
    let maintenance: QueueMaintenance
    let queue: JobQueue
    /// Days that completed jobs stay, and that all others stay.
    var completedDays = 3
    var otherDays = 90

    func duties(logger: Logger) -> [PeriodicDuty] {
        let meter = QueueDepthMeter(queue: queue)
        let schedules = ScheduleRunner(queue: queue)
        return [
            PeriodicDuty(name: "promote", interval: .milliseconds(100), logger: logger) {
                try await maintenance.promote(limit: 1000) == 1000
            },
            PeriodicDuty(name: "fold_wishes", interval: .seconds(1), logger: logger) {
                try await maintenance.foldWishes() == 1000
            },
            PeriodicDuty(name: "run_schedules", interval: .seconds(1), logger: logger) {
                try await schedules.run(limit: 100) == 100
            },
            PeriodicDuty(name: "prune_ticks", interval: .seconds(600), logger: logger) {
                try await schedules.prune(limit: 1000) == 1000
            },
            PeriodicDuty(name: "repeat_cancels", interval: .seconds(1), logger: logger) {
                try await maintenance.repeatCancels()
                return false
            },
            PeriodicDuty(name: "measure_depths", interval: .seconds(10), logger: logger) {
                try await meter.measure()
                return false
            },
            PeriodicDuty(name: "prune_jobs", interval: .seconds(3600), logger: logger) {
                try await maintenance.makeHistory()
                try await maintenance.dropHistory(completedDays: completedDays, otherDays: otherDays)
                try await maintenance.forgetWorkers()
                try await maintenance.forgetLimits()
                return false
            },
        ]
    }
}
