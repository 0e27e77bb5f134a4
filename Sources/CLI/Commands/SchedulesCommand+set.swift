import ArgumentParser
import Bootstrap
import Credentials
import Foundation
import Jobs
import Lifecycle
import Queue
import Store

extension SchedulesCommand {
    struct Set: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a schedule, or make the one of that name as this one is.",
            discussion: """
                One whose rule stays the same keeps its ticks, so a deployment may set its schedules again each time.

                  evergrant schedules set probe --every 6h --kind connection.validate --args '{"connection":"conn_…"}'
                  evergrant schedules set nightly --cron '30 2 * * MON-FRI' --time-zone Europe/Berlin --kind …
                """)

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var target: Target
        @Option(name: .long, help: "Kind of job: \(JobKinds.names.joined(separator: ", ")).")
        var kind: String
        @Option(name: .long, help: "The job's arguments, a JSON object.")
        var args: String
        @Option(name: .long, help: ArgumentHelp("Run at even distances, at least 1s.", valueName: "duration"))
        var every: String?
        @Option(name: .long, help: "Run at the times of five cron fields, or @hourly, @daily and so on.")
        var cron: String?
        @Option(name: .long, help: "Time zone of --cron by its IANA name. (default: UTC)")
        var timeZone: String?
        @Option(name: .long, help: "The queue that its jobs go to.")
        var queue = "default"
        @Option(name: .long, help: "Urgency: 0 is most urgent, 2 due, 3 bulk.")
        var priority: Int16 = 2
        @Option(name: .long, help: "How often a job is tried.")
        var attempts: Int16 = 25
        @Option(name: .long, help: "What its jobs are limited by.")
        var limitKey: [String] = []
        @Option(name: .long, help: ArgumentHelp("No tick before; RFC 3339.", valueName: "time"))
        var starts: String?
        @Option(name: .long, help: ArgumentHelp("No tick after; RFC 3339.", valueName: "time"))
        var ends: String?
        @Option(name: .long, help: "After downtime, ticks that were missed: once, all (up to 100), skip.")
        var missed = "once"
        @Option(name: .long, help: "While the job before is not finished: allow, skip.")
        var overlap = "allow"

        func validate() throws {
            guard (every == nil) != (cron == nil) else { throw ValidationError("give --every or --cron") }
            if let every, DurationText.parse(every) == nil {
                throw ValidationError("--every takes a duration: 90s, 6h")
            }
            if every != nil, timeZone != nil { throw ValidationError("--time-zone belongs to --cron") }
            guard MissedPolicy(rawValue: missed) != nil else {
                throw ValidationError("--missed takes \(MissedPolicy.allCases.map(\.rawValue).joined(separator: ", "))")
            }
            guard OverlapPolicy(rawValue: overlap) != nil else {
                throw ValidationError(
                    "--overlap takes \(OverlapPolicy.allCases.map(\.rawValue).joined(separator: ", "))")
            }
            for (option, text) in [("--starts", starts), ("--ends", ends)] where text != nil && Self.time(text) == nil {
                throw ValidationError("\(option) takes a time: 2026-01-31T09:00:00Z")
            }
        }

        func run() async throws {
            _ = try await target.run(options) { jobs, environment, pool in
                let arguments = try await ScheduledArguments.resolve(
                    kind: kind, arguments: Array(args.utf8), environmentID: environment.id, in: pool)
                let job = NewJob(
                    kind: kind, arguments: arguments, environmentID: environment.id, queue: queue, priority: priority,
                    maximumAttempts: attempts, limitKeys: limitKey)
                let rule: ScheduleRule =
                    every.flatMap(DurationText.parse).map { .every($0) }
                    ?? .cron(cron ?? "", timeZone: timeZone ?? "UTC")
                let kept = try await jobs.setSchedule(
                    Schedule(
                        name: target.name, job: job, rule: rule, starts: Self.time(starts), ends: Self.time(ends),
                        missed: MissedPolicy(rawValue: missed) ?? .once,
                        overlap: OverlapPolicy(rawValue: overlap) ?? .allow))
                try await Change.record("set_schedule", target.name, environment, in: pool)
                let row = Row(kept, environment: environment.name)
                try output.print(row, text: row.text)
                return ""
            }
        }

        private static func time(_ text: String?) -> Date? {
            text.flatMap { try? Date($0, strategy: Date.ISO8601FormatStyle()) }
        }
    }
}
