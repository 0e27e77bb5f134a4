import ArgumentParser
import Bootstrap
import Credentials
import Foundation
import Postgres
import Queue
import Store

struct JobsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "jobs", abstract: "Look at jobs, say why one waits, cancel, and run discarded ones again.",
        subcommands: [List.self, Show.self, Explain.self, Cancel.self, Retry.self, Delete.self])

    /// A job as it is shown. Arguments hold ids only.
    struct Row: Encodable {
        struct Failure: Encodable {
            let attempt: Int?
            let at: String?
            let type, message: String
        }
        let id: Int64
        let state, kind, queue: String
        let environment: Int64
        let priority: Int16?
        let attempt: Int
        let maximumAttempts: Int?
        let createdAt: Date
        let at: Date?
        let uniqueKey: String?
        let limitKeys: [String]
        let arguments: String
        let errors: [Failure]

        init(_ record: JobRecord) {
            id = record.jobID
            state = record.state.rawValue
            kind = record.kind
            queue = record.queue
            environment = record.environmentID
            priority = record.priority
            attempt = record.attempt
            maximumAttempts = record.maximumAttempts
            createdAt = record.createdAt
            at = record.at
            uniqueKey = record.uniqueKey
            limitKeys = record.limitKeys
            arguments = String(decoding: record.arguments, as: UTF8.self)
            errors = record.errors.map {
                Failure(attempt: $0.attempt, at: $0.at, type: $0.type, message: $0.message)
            }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List jobs: running, in line, due later, parked, discarded, cancelled.")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @Option(name: .long, help: "Only this state: \(JobState.allCases.map(\.rawValue).joined(separator: ", ")).")
        var state: String?
        @Option(name: .long, help: "Only this kind, for example connection.refresh.")
        var kind: String?
        @Option(name: .long, help: "Only jobs of this environment.")
        var environment: String?
        @Option(name: .long, help: "At most so many, up to 200.")
        var limit = 50

        func validate() throws {
            if let state, JobState(rawValue: state) == nil { throw ValidationError("--state \(state) is not a state") }
            guard (1...200).contains(limit) else { throw ValidationError("--limit takes 1 to 200") }
        }

        func run() async throws {
            try await Tool.run(options) { pool, logger in
                var filter = JobFilter(state: state.flatMap(JobState.init(rawValue:)), kind: kind, limit: limit)
                if environment != nil {
                    filter.environmentID = try await Tool.environment(environment, in: pool).id
                }
                let rows = try await JobQueue(pool: pool, logger: logger).list(filter).jobs.map(Row.init)
                var table = TextTable("ID", "STATE", "KIND", "ATTEMPT", "CREATED", "DUE OR DONE", "LAST ERROR")
                for row in rows {
                    table.add(
                        String(row.id), row.state, row.kind,
                        "\(row.attempt)\(row.maximumAttempts.map { "/\($0)" } ?? "")",
                        row.createdAt.tableText, row.at.tableText,
                        row.errors.last.map { String($0.message.prefix(80)) } ?? "")
                }
                try output.print(rows, text: table.text)
            }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show one job, with the error of every attempt.")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @Argument(help: "The job's id.")
        var id: Int64

        func run() async throws {
            try await Tool.run(options) { pool, logger in
                guard let job = try await JobQueue(pool: pool, logger: logger).find(id) else { throw Self.missing(id) }
                let row = Row(job)
                var lines = [
                    "job \(row.id)  \(row.state)  \(row.kind)", "  arguments  \(row.arguments)",
                    "  attempt    \(row.attempt)\(row.maximumAttempts.map { " of \($0)" } ?? "")",
                    "  created    \(row.createdAt.tableText)", "  due, done  \(row.at.tableText)",
                    "  key        \(row.uniqueKey ?? "–")",
                ]
                lines += row.errors.map { "  error \($0.attempt ?? 0) at \($0.at ?? "?")  \($0.type): \($0.message)" }
                try output.print(row, text: lines.joined(separator: "\n"))
            }
        }

        static func missing(_ id: Int64) -> InvalidValue {
            InvalidValue(
                item: "job \(id)", problem: "does not exist, or its history is dropped",
                repair: "see evergrant jobs list")
        }
    }
}
