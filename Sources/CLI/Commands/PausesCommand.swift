import ArgumentParser
import Foundation
import Postgres
import Queue

struct PausesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pauses", abstract: "Stop and resume kinds of job and limit keys, everywhere.",
        discussion: "Queues are paused by evergrant queues pause.", subcommands: [List.self, Add.self, Resume.self],
        defaultSubcommand: List.self)

    /// A kind or a limit key.
    struct Target: ParsableArguments {
        @Option(name: .long, help: "A kind of job, for example connection.refresh.")
        var kind: String?
        @Option(name: .long, help: "A limit key.")
        var limitKey: String?

        func validate() throws {
            guard (kind == nil) != (limitKey == nil) else { throw ValidationError("give --kind or --limit-key") }
        }

        var pause: JobPause? { kind.map(JobPause.kind) ?? limitKey.map(JobPause.limitKey) }
        var words: String { kind.map { "kind \($0)" } ?? "limit key \(limitKey ?? "")" }
    }

    struct Row: Encodable {
        /// `kind` or `limit_key`.
        let what, name: String

        init(_ pause: JobPause) {
            switch pause {
            case .kind(let name): (what, self.name) = ("kind", name)
            case .limitKey(let name): (what, self.name) = ("limit_key", name)
            }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List kinds and limit keys that are paused.")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await Tool.run(options) { pool, logger in
                let rows = try await JobQueue(pool: pool, logger: logger).pauses().map(Row.init)
                var table = TextTable("PAUSED", "NAME")
                for row in rows { table.add(row.what.replacing("_", with: " "), row.name) }
                try output.print(rows, text: rows.isEmpty ? "no kind or limit key is paused" : table.text)
            }
        }
    }

    struct Add: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Start no more jobs of a kind or limit key, from each worker's next poll on; jobs that run go on."
        )

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var target: Target

        func run() async throws {
            try await Tool.run(options) { pool, logger in
                guard let pause = target.pause else { return }
                let isNew = try await JobQueue(pool: pool, logger: logger).pause(pause)
                try output.print(
                    ["paused": isNew], text: "\(target.words) \(isNew ? "is paused" : "was paused before")")
            }
        }
    }

    struct Resume: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Lift a pause, and put the jobs that it parked back into line.")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var target: Target

        func run() async throws {
            try await Tool.run(options) { pool, logger in
                guard let pause = target.pause else { return }
                let jobs = try await JobQueue(pool: pool, logger: logger).resume(pause)
                try output.print(
                    ["resumed": jobs],
                    text: "\(target.words) goes on; \(jobs) parked job\(jobs == 1 ? "" : "s") put back into line")
            }
        }
    }
}
