import ArgumentParser
import Credentials
import Foundation
import Postgres
import Queue
import Store

struct QueuesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "queues", abstract: "Look at queues; pause and resume them.",
        subcommands: [List.self, Pause.self, Resume.self], defaultSubcommand: List.self)

    /// A lane as it is shown.
    struct Lane: Encodable {
        let environment, queue: String
        let priority: Int16
        let isPaused: Bool
        let jobs: Int
        let isCapped: Bool
        let oldestAgeSeconds: Double?
        let running, dueSoon: Int
        let perMinute: [String: Double]?

        init(_ lane: LaneStatus, environment: String) {
            self.environment = environment
            queue = lane.queue
            priority = lane.priority
            isPaused = lane.isPaused
            jobs = lane.jobs
            isCapped = lane.isCapped
            oldestAgeSeconds = lane.oldestAge
            running = lane.running
            dueSoon = lane.dueSoon
            perMinute = lane.perMinute.map {
                Dictionary(uniqueKeysWithValues: $0.named.map { ($0.name, ($0.value * 10).rounded() / 10) })
            }
        }
    }

    struct Parked: Encodable {
        let reason, name: String
        let jobs: Int
        let isCapped: Bool
    }

    struct Discarded: Encodable {
        let environment, queue, kind: String
        let jobs: Int
        let isCapped: Bool
        let oldest: Date
    }

    struct Status: Encodable {
        var lanes: [Lane] = []
        var pausedQueues: [String] = []
        var parked: [Parked] = []
        var discarded: [Discarded] = []
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract:
                "Show every lane (a queue's priority) that has jobs, with rates of the last minute; what is parked, "
                + "and what is discarded.")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @Option(name: .long, help: "Only lanes of this environment; what is parked is of all.")
        var environment: String?

        func run() async throws {
            try await Tool.run(options) { pool, logger in
                let queue = JobQueue(pool: pool, logger: logger)
                let all = try await Environments.list(in: pool)
                let only = environment == nil ? nil : try await Tool.environment(environment, in: pool).id
                let names = Dictionary(uniqueKeysWithValues: all.map { ($0.id, $0.name) })
                func name(_ id: Int64) -> String { names[id] ?? "#\(id)" }
                var status = Status()
                status.lanes = try await queue.lanes(environmentID: only)
                    .map { Lane($0, environment: name($0.environmentID)) }
                status.pausedQueues = try await queue.pausedQueues()
                    .filter { only == nil || $0.environmentID == only }
                    .map { "\(name($0.environmentID))/\($0.name)" }
                status.parked = try await queue.parked().map {
                    Parked(reason: $0.reason.rawValue, name: $0.name, jobs: $0.jobs, isCapped: $0.isCapped)
                }
                status.discarded = try await queue.discarded(environmentID: only).map {
                    Discarded(
                        environment: name($0.environmentID), queue: $0.queue, kind: $0.kind, jobs: $0.jobs,
                        isCapped: $0.isCapped, oldest: $0.oldest)
                }
                try output.print(status, text: status.text)
            }
        }
    }

    struct Pause: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Claim nothing more from a queue; jobs that run go on.")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @Argument(help: "The queue's name.")
        var name = "default"
        @Option(name: .long, help: "The environment whose queue it is.")
        var environment: String?

        func run() async throws { try await QueuesCommand.set(true, name, environment, options, output) }
    }

    struct Resume: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Claim from a paused queue again.")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @Argument(help: "The queue's name.")
        var name = "default"
        @Option(name: .long, help: "The environment whose queue it is.")
        var environment: String?

        func run() async throws { try await QueuesCommand.set(false, name, environment, options, output) }
    }

    private static func set(
        _ paused: Bool, _ name: String, _ environment: String?, _ options: ConfigurationOptions,
        _ output: OutputOptions
    ) async throws {
        try await Tool.run(options) { pool, logger in
            let home = try await Tool.environment(environment, in: pool)
            let queue = QueueName(environmentID: home.id, name: name)
            guard try await JobQueue(pool: pool, logger: logger).setPaused(paused, queue: queue, making: false) else {
                throw InvalidValue(
                    item: "queue \(name)", problem: "does not exist in \(home.name): nothing was ever enqueued to it",
                    repair: "see evergrant queues")
            }
            try output.print(
                ["paused": paused],
                text: paused
                    ? "queue \(name) of \(home.name) is paused; evergrant queues resume \(name) lifts it"
                    : "queue \(name) of \(home.name) goes on")
        }
    }
}

extension QueuesCommand.Status {
    /// Tables, the empty ones left out.
    var text: String {
        func count(_ jobs: Int, _ isCapped: Bool) -> String { "\(jobs)\(isCapped ? "+" : "")" }
        func rate(_ lane: QueuesCommand.Lane, _ names: String...) -> String {
            lane.perMinute.map { rates in "\(Int(names.reduce(0) { $0 + (rates[$1] ?? 0) }.rounded()))" } ?? "–"
        }
        var parts: [String] = []
        var table = TextTable(
            "ENVIRONMENT", "QUEUE", "PRIORITY", "IN LINE", "OLDEST", "RUNNING", "DUE SOON", "STARTED/MIN", "DONE/MIN",
            "FAILED/MIN")
        for lane in lanes {
            table.add(
                lane.environment, lane.queue + (lane.isPaused ? " (paused)" : ""), "\(lane.priority)",
                count(lane.jobs, lane.isCapped), lane.oldestAgeSeconds.map { "\(Int($0)) s" } ?? "–",
                "\(lane.running)", "\(lane.dueSoon)", rate(lane, "started"), rate(lane, "completed"),
                rate(lane, "retried", "discarded"))
        }
        parts.append(lanes.isEmpty ? "no lane has jobs" : table.text)
        if !pausedQueues.isEmpty { parts.append("paused: " + pausedQueues.joined(separator: ", ")) }
        if !parked.isEmpty {
            var table = TextTable("PARKED", "KIND OR LIMIT KEY", "JOBS")
            for row in parked { table.add(row.reason, row.name, count(row.jobs, row.isCapped)) }
            parts.append(table.text)
        }
        if !discarded.isEmpty {
            var table = TextTable("DISCARDED", "ENVIRONMENT", "QUEUE", "JOBS", "OLDEST")
            for row in discarded {
                table.add(row.kind, row.environment, row.queue, count(row.jobs, row.isCapped), row.oldest.tableText)
            }
            parts.append(table.text)
        }
        return parts.joined(separator: "\n\n")
    }
}
