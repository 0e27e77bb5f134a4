import Foundation
import Pacing

/// One round: so many refreshes in so many seconds, and what each process used for them.
struct RefreshRound: Sendable {
    /// Processor seconds since each began.
    struct Times: Sendable {
        let at: BootInstant
        let worker: Double
        let scheduler: Double
        let provider: Double
        let postgres: Double?
        let machine: Double

        static func read(_ fleet: RefreshFleet, _ postmaster: Int32?) -> Times {
            Times(
                at: .now(), worker: fleet.workers.reduce(0) { $0 + ProcessorTimes.familyTime($1.processID) },
                scheduler: ProcessorTimes.familyTime(fleet.scheduler.processID),
                provider: ProcessorTimes.familyTime(fleet.provider.processID),
                postgres: postmaster.map(ProcessorTimes.familyTime), machine: ProcessorTimes.machineTime())
        }
    }

    let count: Int
    let seconds: Double
    let start: Times
    let end: Times

    var rate: Double { Double(count) / max(seconds, 1e-6) }
    private var length: Double { start.at.duration(to: end.at).seconds }

    private var machine: Double { end.machine - start.machine }
    private var ours: Double { used.reduce(0) { $0 + $1.seconds } }

    /// Processor seconds by process.
    private var used: [(name: String, seconds: Double)] {
        [
            ("worker", end.worker - start.worker), ("Postgres", (end.postgres ?? 0) - (start.postgres ?? 0)),
            ("scheduler", end.scheduler - start.scheduler), ("provider", end.provider - start.provider),
        ]
    }

    static func measures(_ rounds: [RefreshRound], cores: Double) -> [Measure] {
        var measures = [
            Measure("rate", "refreshes/s", rounds.map(\.rate)),
            Measure("per core", "refreshes/s", rounds.map { $0.rate / cores }),
        ]
        for (place, name) in ["worker", "Postgres", "scheduler", "provider"].enumerated() {
            measures.append(
                Measure(name, "µs/refresh", rounds.map { $0.used[place].seconds / Double($0.count) * 1e6 }))
        }
        measures.append(Measure("machine busy", "cores", rounds.map { $0.machine / $0.length }))
        // This process, which only looks on, and whatever else runs here.
        measures.append(Measure("others", "cores", rounds.map { max(0, $0.machine - $0.ours) / $0.length }))
        return measures
    }

    /// In words: what keeps the rate from being higher.
    /// - Parameter slots: refreshes a second that the attempts at once allow at the provider's latency.
    static func limit(_ rounds: [RefreshRound], slots: Double) -> String {
        guard let round = rounds.max(by: { $0.rate < $1.rate }) else { return "nothing measured" }
        let cores = Double(ProcessInfo.processInfo.activeProcessorCount)
        let busy = (round.end.machine - round.start.machine) / round.length / cores
        let shares = round.used.sorted { $0.seconds > $1.seconds }
            .map { "\($0.name) \(Int(($0.seconds / round.length * 100).rounded())) %" }.joined(separator: ", ")
        // The reading begins before the first attempt and ends up to a quarter of a second after the last.
        if busy > 0.85 { return "limited by the processor (\(Int(busy * 100)) % of \(Int(cores)) cores: \(shares))" }
        if round.rate > 0.85 * slots {
            return "limited by attempts at once: \(Int(slots))/s at this latency (\(shares))"
        }
        return "limited by waiting: the machine is \(Int(busy * 100)) % busy (\(shares)), and attempts at once would "
            + "allow \(Int(slots))/s"
    }
}
