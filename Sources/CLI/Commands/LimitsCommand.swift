import ArgumentParser
import Bootstrap
import Credentials
import Foundation
import Postgres
import Queue

struct LimitsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "limits", abstract: "Limit how many jobs of a key run at once, or start a second, over the fleet.",
        discussion: "Keys that apps give by SQL are known here as app:<environment>:<key>.",
        subcommands: [List.self, Set.self, Remove.self, Block.self], defaultSubcommand: List.self)

    /// A limit as it is shown.
    struct Row: Encodable {
        let key: String
        let concurrency: Int?
        let inUse: Int
        let ratePerSecond: Double?
        let burst: Int?
        let tokens: Double?
        let waiting: Int
        let blockedUntil: Date?
        let blockedBecause: String?

        init(_ state: JobLimitState) {
            key = state.limit.key
            concurrency = state.limit.concurrency
            inUse = state.inUse
            ratePerSecond = state.limit.rate
            burst = state.limit.rate == nil ? nil : state.limit.burst
            tokens = state.tokens
            waiting = state.waiting
            blockedUntil = state.blockedUntil
            blockedBecause = state.blockedBecause
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List limits, what of them is in use, and blocks.")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @Option(name: .long, help: "Only keys that begin so, for example app:live:")
        var prefix: String?

        func run() async throws {
            try await Tool.run(options) { pool, logger in
                let queue = JobQueue(pool: pool, logger: logger)
                var rows: [Row] = []
                while true {
                    let page = try await queue.limits(after: rows.last?.key, prefix: prefix, limit: 200)
                    rows += page.map(Row.init)
                    if page.count < 200 { break }
                }
                var table = TextTable("KEY", "IN USE", "RATE", "BURST", "WAITING", "BLOCKED UNTIL", "BECAUSE")
                for row in rows {
                    table.add(
                        row.key, row.concurrency.map { "\(row.inUse)/\($0)" } ?? "–",
                        row.ratePerSecond.map { "\($0)/s" } ?? "–", row.burst.map { "\($0)" } ?? "–",
                        row.waiting >= 10_000 ? "10000+" : "\(row.waiting)", row.blockedUntil.tableText,
                        row.blockedBecause ?? "–")
                }
                try output.print(rows, text: rows.isEmpty ? "no limits" : table.text)
            }
        }
    }

    struct Set: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make or change a limit, at once for jobs that have not started.")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @Argument(help: "The limit key.")
        var key: String
        @Option(name: .long, help: "Jobs at a time.")
        var concurrency: Int?
        @Option(name: .long, help: "Starts a second, in the long run.")
        var rate: Double?
        @Option(name: .long, help: "Starts at once after a pause; goes with --rate.")
        var burst: Int?

        func validate() throws {
            guard concurrency != nil || rate != nil else { throw ValidationError("give --concurrency, --rate or both") }
            guard burst == nil || rate != nil else { throw ValidationError("--burst goes with --rate") }
        }

        func run() async throws {
            try await Tool.run(options) { pool, logger in
                let queue = JobQueue(pool: pool, logger: logger)
                try await queue.setLimit(
                    JobLimit(key: key, concurrency: concurrency, rate: rate, burst: burst ?? 1))
                let words = [
                    concurrency.map { "\($0) at a time" }, rate.map { "\($0) starts a second, \(burst ?? 1) at once" },
                ]
                try output.print(
                    try await queue.limit(key).map(Row.init),
                    text: "\(key): \(words.compactMap { $0 }.joined(separator: ", "))")
            }
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Lift a limit and its block.")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @Argument(help: "The limit key.")
        var key: String

        func run() async throws {
            try await Tool.run(options) { pool, logger in
                guard try await JobQueue(pool: pool, logger: logger).removeLimit(key) else {
                    throw InvalidValue(
                        item: "limit \(key)", problem: "does not exist", repair: "see evergrant limits list")
                }
                try output.print(["removed": key], text: "\(key) is not limited any more")
            }
        }
    }

    struct Block: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Start nothing of a key for a time, such as a provider's Retry-After; never shortens a block.")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @Argument(help: "The limit key.")
        var key: String
        @Option(name: .customLong("for"), help: ArgumentHelp("How long: 90s, 2h.", valueName: "duration"))
        var duration: String
        @Option(name: .long, help: "Why, for those who look.")
        var because = "by an operator"

        func validate() throws {
            guard DurationText.parse(duration) != nil else { throw ValidationError("--for takes a duration: 90s, 2h") }
        }

        func run() async throws {
            try await Tool.run(options) { pool, logger in
                let queue = JobQueue(pool: pool, logger: logger)
                try await queue.block(
                    limitKey: key, for: DurationText.parse(duration) ?? .zero, because: because)
                let state = try await queue.limit(key)
                try output.print(
                    state.map(Row.init),
                    text: "nothing of \(key) starts before \(state?.blockedUntil.tableText ?? "now")"
                )
            }
        }
    }
}
