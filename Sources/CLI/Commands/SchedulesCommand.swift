import ArgumentParser
import Bootstrap
import Credentials
import Foundation
import Lifecycle
import Logging
import Postgres
import Queue
import Store

struct SchedulesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "schedules", abstract: "Jobs that come again and again.",
        discussion: "What a tick is, and what becomes of missed ones: docs/periodic-jobs.md.",
        subcommands: [List.self, Show.self, Set.self, Remove.self, Pause.self, Resume.self, Run.self])

    /// A schedule as it is shown.
    struct Row: Encodable {
        struct Tick: Encodable {
            let tick: Date
            let job: Int64?
            let manual: Bool
        }
        let name, environment, state, kind, arguments, rule, queue: String
        let priority, maximumAttempts: Int16
        let limitKeys: [String]
        let startsAt, endsAt: Date?
        let missed, overlap: String
        let nextAt, lastAt: Date?
        let lastJob: Int64?
        let fault: String?
        var runs: [Tick]?

        init(_ record: ScheduleRecord, environment: String, runs: [ScheduleRun]? = nil) {
            let schedule = record.schedule
            name = schedule.name
            self.environment = environment
            state = record.state.rawValue
            kind = schedule.job.kind
            arguments = String(decoding: schedule.job.arguments, as: UTF8.self)
            rule =
                switch schedule.rule {
                case .every(let interval): "every \(DurationText.print(interval))"
                case .cron(let text, let zone): "\(text) \(zone)"
                }
            queue = schedule.job.queue
            priority = schedule.job.priority
            maximumAttempts = schedule.job.maximumAttempts
            limitKeys = schedule.job.limitKeys
            startsAt = schedule.starts
            endsAt = schedule.ends
            missed = schedule.missed.rawValue
            overlap = schedule.overlap.rawValue
            nextAt = record.nextAt
            lastAt = record.lastAt
            lastJob = record.lastJobID
            fault = record.fault
            self.runs = runs?.map { Tick(tick: $0.tick, job: $0.jobID, manual: $0.isManual) }
        }

        var text: String {
            var lines = [
                "schedule \(name)  \(state)  \(kind)", "  arguments  \(arguments)", "  rule       \(rule)",
                "  next       \(nextAt.tableText)", "  last       \(lastAt.tableText)",
                "  missed     \(missed)", "  overlap    \(overlap)",
            ]
            if let fault { lines.append("  fault      \(fault)") }
            lines += (runs ?? []).map {
                "  run        \($0.tick.tableText)  job \($0.job.map(String.init) ?? "–")\($0.manual ? "  by hand" : "")"
            }
            return lines.joined(separator: "\n")
        }
    }

    /// How a command names one schedule.
    struct Target: ParsableArguments {
        @Argument(help: "The schedule's name.")
        var name: String
        @Option(name: .long, help: "Its environment; needed when there are several.")
        var environment: String?

        var missing: InvalidValue {
            InvalidValue(
                item: "schedule \(name.prefix(100))", problem: "does not exist", repair: "see evergrant schedules list")
        }

        /// Runs `body` with the environment; nil from it: there is no such schedule.
        func run(
            _ options: ConfigurationOptions,
            _ body: (JobQueue, EnvironmentRecord, PostgresPool) async throws -> String?
        ) async throws -> String {
            try await Tool.run(options) { pool, logger in
                let environment = try await Tool.environment(environment, in: pool)
                guard let text = try await body(JobQueue(pool: pool, logger: logger), environment, pool) else {
                    throw missing
                }
                return text
            }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List schedules, and when each runs next.")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @Option(name: .long, help: "Only those of this environment.")
        var environment: String?

        func run() async throws {
            try await Tool.run(options) { pool, logger in
                let environments =
                    environment == nil
                    ? try await Environments.list(in: pool) : [try await Tool.environment(environment, in: pool)]
                let queue = JobQueue(pool: pool, logger: logger)
                var rows: [Row] = []
                for environment in environments {
                    rows += try await queue.schedules(environmentID: environment.id)
                        .map { Row($0, environment: environment.name) }
                }
                var table = TextTable("NAME", "ENVIRONMENT", "STATE", "KIND", "RULE", "NEXT", "LAST")
                for row in rows {
                    table.add(
                        row.name, row.environment, row.state, row.kind, row.rule, row.nextAt.tableText,
                        row.lastAt.tableText)
                }
                try output.print(rows, text: table.text)
            }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show one schedule and its latest runs.")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var target: Target

        func run() async throws {
            _ = try await target.run(options) { queue, environment, _ in
                guard let found = try await queue.schedule(target.name, environmentID: environment.id) else {
                    return nil
                }
                let row = Row(found, environment: environment.name, runs: try await queue.runs(of: found))
                try output.print(row, text: row.text)
                return ""
            }
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Remove a schedule; its jobs stay.")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var target: Target

        func run() async throws {
            let text = try await target.run(options) { queue, environment, pool in
                guard try await queue.removeSchedule(target.name, environmentID: environment.id) else { return nil }
                try await Change.record("remove_schedule", target.name, environment, in: pool)
                return "\(target.name) is removed"
            }
            try output.print(["removed": target.name], text: text)
        }
    }

    struct Pause: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Stop a schedule until it is resumed.")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var target: Target

        func run() async throws { try await Change.pause(true, target, options, output) }
    }

    struct Resume: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Let a paused schedule go on with its next tick; those of the pause are not made up for.")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var target: Target

        func run() async throws { try await Change.pause(false, target, options, output) }
    }

    struct Run: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Enqueue a schedule's job now; its ticks stay as they are.")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var target: Target

        func run() async throws {
            _ = try await target.run(options) { queue, environment, pool in
                guard let jobID = try await queue.runScheduleNow(target.name, environmentID: environment.id) else {
                    return nil
                }
                try await Change.record("run_schedule", target.name, environment, in: pool)
                try output.print(["job": jobID], text: "job \(jobID) is enqueued")
                return ""
            }
        }
    }

    /// What the commands that change something share.
    enum Change {
        static func record(
            _ action: String, _ name: String, _ environment: EnvironmentRecord, in pool: PostgresPool
        ) async throws {
            try await Audit.record(
                environmentID: environment.id, actor: "cli", action: action, connectionID: nil,
                details: Array(try JSONEncoder().encode(["schedule": name])), in: pool)
        }

        static func pause(
            _ paused: Bool, _ target: Target, _ options: ConfigurationOptions, _ output: OutputOptions
        ) async throws {
            _ = try await target.run(options) { queue, environment, pool in
                guard
                    let kept = try await queue.setSchedulePaused(
                        paused, name: target.name, environmentID: environment.id)
                else { return nil }
                try await record(paused ? "pause_schedule" : "resume_schedule", target.name, environment, in: pool)
                let row = Row(kept, environment: environment.name)
                try output.print(
                    row, text: "\(row.name) is \(row.state)\(row.nextAt.map { ", next \($0.tableText)" } ?? "")")
                return ""
            }
        }
    }
}
