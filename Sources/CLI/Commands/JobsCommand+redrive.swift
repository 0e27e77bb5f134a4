import ArgumentParser
import Bootstrap
import Foundation
import Postgres
import Queue
import Store

/// Which discarded jobs: by id, or by kind and more.
struct SelectionOptions: ParsableArguments {
    @Argument(help: "Ids of discarded jobs.")
    var ids: [Int64] = []
    @Option(name: .long, help: "All discarded jobs of this kind instead.")
    var kind: String?
    @Option(name: .long, help: ArgumentHelp("Of the kind, those whose last error has this type.", valueName: "type"))
    var error: String?
    @Option(
        name: .long,
        help: ArgumentHelp("Of the kind, those discarded since: 2h ago, or 2026-01-31T09:00:00Z.", valueName: "time"))
    var since: String?
    @Option(name: .long, help: "Of the kind, those of this environment.")
    var environment: String?
    @Option(name: .long, help: "Of the kind, at most so many, oldest first.")
    var limit: Int?
    @Flag(name: .long, help: "Tell what is selected, with an example of each error, and change nothing.")
    var dryRun = false

    func validate() throws {
        guard ids.isEmpty != (kind == nil) else { throw ValidationError("give job ids, or --kind") }
        if kind == nil, error != nil || since != nil || environment != nil || limit != nil || dryRun {
            throw ValidationError("--error, --since, --environment, --limit and --dry-run go with --kind")
        }
        if let since, Self.moment(since) == nil {
            throw ValidationError("--since takes a duration such as 2h, or a time such as 2026-01-31T09:00:00Z")
        }
        if let limit, limit < 1 { throw ValidationError("--limit takes 1 and more") }
    }

    /// A time, or a duration before now.
    static func moment(_ text: String) -> Date? {
        if let duration = DurationText.parse(text.replacing(" ago", with: "")) {
            return Date(timeIntervalSinceNow: -(duration / .seconds(1)))
        }
        return try? Date(text, strategy: .iso8601)
    }

    func selection(_ kind: String, in pool: PostgresPool) async throws -> JobSelection {
        JobSelection(
            kind: kind,
            environmentID: environment == nil ? nil : try await Tool.environment(environment, in: pool).id,
            errorType: error, since: since.flatMap(Self.moment))
    }
}

extension JobsCommand {
    struct Retry: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Run discarded jobs again, attempts from 0.")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var selection: SelectionOptions

        func run() async throws {
            try await RedriveRun(what: .retry, output: output, selection: selection).run(options)
        }
    }

    struct Delete: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Delete discarded jobs; the history keeps their errors for 90 days.")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var selection: SelectionOptions

        func run() async throws {
            try await RedriveRun(what: .delete, output: output, selection: selection).run(options)
        }
    }
}

/// A redrive from the command line.
private struct RedriveRun {
    let what: Redrive
    let output: OutputOptions
    let selection: SelectionOptions

    private struct Result: Encodable {
        let moved, kept: Int
        let isDone: Bool
    }

    private struct PreviewRow: Encodable {
        let error: String?
        let jobs: Int
        let oldest, newest: Date
        let exampleJob: Int64
        let exampleMessage: String?
    }

    private struct Preview: Encodable {
        let jobs: Int
        let isComplete: Bool
        let errors: [PreviewRow]
    }

    func run(_ options: ConfigurationOptions) async throws {
        try await Tool.run(options) { pool, logger in
            let queue = JobQueue(pool: pool, logger: logger)
            guard let kind = selection.kind else {
                let moved =
                    what == .retry ? try await queue.retry(selection.ids) : try await queue.delete(selection.ids)
                let left = selection.ids.count - moved
                return try output.print(
                    Result(moved: moved, kept: left, isDone: true),
                    text: words(moved)
                        + (left > 0
                            ? "; \(left) not: not discarded, or another unfinished job has the unique key" : ""))
            }
            let chosen = try await selection.selection(kind, in: pool)
            if selection.dryRun { return try await preview(chosen, queue) }
            let total = try await queue.redrive(chosen, what, limit: selection.limit ?? .max) { progress in
                guard !output.json, progress.looked >= 1000 else { return }
                FileHandle.standardError.write(
                    Data("\(progress.moved) of \(progress.looked) looked at so far\n".utf8))
            }
            try output.print(
                Result(moved: total.moved, kept: total.kept, isDone: total.isDone),
                text: words(total.moved)
                    + (total.kept > 0 ? "; \(total.kept) stay: another unfinished job has their unique key" : "")
                    + (total.isDone ? "" : "; stopped at the limit, there may be more"))
        }
    }

    private func preview(_ chosen: JobSelection, _ queue: JobQueue) async throws {
        let found = try await queue.preview(chosen)
        let rows = found.groups.map {
            PreviewRow(
                error: $0.errorType, jobs: $0.jobs, oldest: $0.oldest, newest: $0.newest, exampleJob: $0.exampleJobID,
                exampleMessage: $0.exampleMessage)
        }
        var table = TextTable("ERROR", "JOBS", "OLDEST", "NEWEST", "EXAMPLE", "MESSAGE")
        for row in rows {
            table.add(
                row.error ?? "–", "\(row.jobs)\(found.isComplete ? "" : "+")", row.oldest.tableText,
                row.newest.tableText, String(row.exampleJob), String((row.exampleMessage ?? "–").prefix(100)))
        }
        let summary =
            "\(found.jobs)\(found.isComplete ? "" : " or more") discarded job\(found.jobs == 1 ? "" : "s") would be "
            + (what == .retry ? "run again" : "deleted")
        try output.print(
            Preview(jobs: found.jobs, isComplete: found.isComplete, errors: rows),
            text: rows.isEmpty ? summary : table.text + "\n" + summary)
    }

    private func words(_ count: Int) -> String {
        "\(count) job\(count == 1 ? "" : "s") \(what == .retry ? "will run again" : "deleted")"
    }
}
