import ArgumentParser
import Credentials
import Foundation
import Postgres
import Queue
import Store

extension JobsCommand {
    struct Explain: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Say why a job is not running.",
            discussion: "With --key, of the unfinished job that has that unique key: where an enqueue went that was "
                + "told `again`, `waiting` or `wish`.")

        struct Row: Encodable {
            struct Reason: Encodable {
                let code, sentence: String
                let until: Date?
            }
            let id: Int64
            let state, kind: String?
            let readAt: Date
            let needsOperator: Bool
            let reasons: [Reason]

            init(_ diagnosis: JobDiagnosis) {
                id = diagnosis.jobID
                state = diagnosis.state?.rawValue
                kind = diagnosis.kind
                readAt = diagnosis.readAt
                needsOperator = diagnosis.needsOperator
                reasons = diagnosis.reasons.map { Reason(code: $0.code, sentence: $0.sentence, until: $0.until) }
            }

            var text: String {
                (["job \(id)  \(state ?? "unknown")\(kind.map { "  \($0)" } ?? "")  at \(readAt.tableText)"]
                    + reasons.map { "  \($0.sentence)" }).joined(separator: "\n")
            }
        }

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @Argument(help: "The job's id.")
        var id: Int64?
        @Option(name: .long, help: "The unique key instead, with --kind.")
        var key: String?
        @Option(name: .long, help: "The kind that the key is of.")
        var kind: String?
        @Option(name: .long, help: "The environment that the key is of.")
        var environment: String?

        func validate() throws {
            guard (id == nil) != (key == nil) else { throw ValidationError("give a job id, or --key") }
            guard (key == nil) == (kind == nil) else { throw ValidationError("--key and --kind go together") }
        }

        func run() async throws {
            try await Tool.run(options) { pool, logger in
                let queue = JobQueue(pool: pool, logger: logger)
                var id = id
                if let key, let kind {
                    let holder = try await queue.holder(
                        ofKey: key, kind: kind,
                        environmentID: try await Tool.environment(environment, in: pool).id)
                    id = holder.jobID
                    if holder.jobID == nil {
                        throw InvalidValue(
                            item: "key \(key)",
                            problem: holder.wishes > 0
                                ? "is in another transaction's hands: \(holder.wishes) enqueues of it wait for that"
                                : "is no unfinished job's",
                            repair: "see evergrant jobs list --kind \(kind)")
                    }
                }
                guard let id else { return }
                let diagnosis = try await queue.explain(id)
                guard diagnosis.state != nil else { throw Show.missing(id) }
                let row = Row(diagnosis)
                try output.print(row, text: row.text)
            }
        }
    }

    struct Cancel: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Cancel waiting jobs, and ask running ones to stop.")

        struct Row: Encodable {
            let id: Int64
            let result: String
        }

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @Argument(help: "Ids of jobs.")
        var ids: [Int64]

        func run() async throws {
            try await Tool.run(options) { pool, logger in
                let queue = JobQueue(pool: pool, logger: logger)
                var rows: [Row] = []
                for id in ids { rows.append(Row(id: id, result: try await queue.cancel(id).rawValue)) }
                let text = rows.map { row in
                    switch row.result {
                    case "cancelled": "job \(row.id)  cancelled"
                    case "asked": "job \(row.id)  is running; its handler is asked to stop"
                    default: "job \(row.id)  has ended, or never was"
                    }
                }
                try output.print(rows, text: text.joined(separator: "\n"))
                if rows.contains(where: { $0.result == "unknown" }) { throw ExitCode(1) }
            }
        }
    }
}
