import ArgumentParser
import Credentials
import Foundation
import Postgres
import Store

struct AuditCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit", abstract: "List uses of secrets; verify that nobody changed the record of them.",
        discussion: """
            Example: evergrant audit verify --environment live --expect 4127:9f2c…
            docs/audit.md tells what is recorded and how rows are chained.
            """,
        subcommands: [List.self, Verify.self, Head.self], defaultSubcommand: List.self)

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List uses of secrets, newest first.",
            discussion: "Example: evergrant audit list --connection conn_… --since 24h")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @Option(name: .long, help: "The environment; needed when there are several.")
        var environment: String?
        @Option(name: .long, help: "Only of this connection: conn_….")
        var connection: String?
        @Option(name: .long, help: "Only this action, for example refresh, revoke or passthrough.")
        var action: String?
        @Option(name: .long, help: "Only by this actor, for example cli or key:key_….")
        var actor: String?
        @Option(name: .long, help: "Only later than this: a time, or how long ago (24h).")
        var since: Moment?
        @Option(name: .long, help: "Only earlier than this.")
        var until: Moment?
        @Option(name: .long, help: "How many rows.")
        var limit = 100

        /// A row as it is shown.
        struct Row: Encodable {
            let id: Int64
            let at: Date
            let actor, action: String
            let connection: String?
            let count: Int64
            let details: String?
            let isSealed: Bool
        }

        func run() async throws {
            try await Tool.run(options) { pool, _ in
                let environment = try await Tool.environment(environment, in: pool)
                var connectionID: Int64?
                if let connection {
                    guard let uid = ConnectionRecord.uid(publicID: connection),
                        let found = try await Connections.find(uid: uid, environmentID: environment.id, in: pool)
                    else {
                        throw InvalidValue(
                            item: "connection \(connection.prefix(80))", problem: "does not exist",
                            repair: "see evergrant connections list")
                    }
                    connectionID = found.id
                }
                let rows = try await Audit.list(
                    environmentID: environment.id, connectionID: connectionID, action: action, actor: actor,
                    since: since?.date, until: until?.date, limit: limit, in: pool
                ).map {
                    Row(
                        id: $0.id, at: $0.at, actor: $0.actor, action: $0.action, connection: $0.connection,
                        count: $0.count, details: $0.details.map { String(decoding: $0, as: UTF8.self) },
                        isSealed: $0.isSealed)
                }
                var table = TextTable("ID", "AT", "ACTION", "COUNT", "ACTOR", "CONNECTION", "SEALED", "DETAILS")
                for row in rows {
                    table.add(
                        "\(row.id)", row.at.tableText, row.action, "\(row.count)", row.actor, row.connection ?? "–",
                        row.isSealed ? "yes" : "no", row.details ?? "–")
                }
                try output.print(rows, text: rows.isEmpty ? "no rows" : table.text)
            }
        }
    }

    struct Verify: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Check every row against the chain; exit 1 and name the first that was changed.",
            discussion: """
                Says up to where rows are sealed. A head kept elsewhere (evergrant audit head) finds a chain that was made \
                anew as a whole.
                Example: evergrant audit verify --environment live --expect 4127:9f2c…
                """)

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @Option(name: .long, help: "Only this environment; needed with --expect when there are several.")
        var environment: String?
        @Option(name: .long, help: "A head that was printed before and kept elsewhere: <number>:<hash>.")
        var expect: String?

        func validate() throws {
            if let expect, AuditHead.parse(expect) == nil {
                throw ValidationError("--expect takes what evergrant audit head prints: <number>:<64 hex digits>")
            }
        }

        struct Row: Encodable {
            let environment, head: String
            let sealedAt: Date?
            let firstSeal: Int64
            let seals, rows, erased, unsealed: Int
            let oldestUnsealed: Date?
            let fault: AuditReport.Fault?

            var text: String {
                if let fault { return "\(environment): \(fault.kind.rawValue.uppercased()): \(fault.sentence)" }
                let seal = head.prefix { $0 != ":" }
                var words = [
                    sealedAt.map { "sealed up to seal \(seal) of \($0.tableText)" } ?? "nothing is sealed yet",
                    "\(rows) rows checked",
                ]
                if erased > 0 { words.append("\(erased) of them with details erased") }
                if firstSeal > 1 { words.append("rows before seal \(firstSeal) were pruned") }
                if unsealed > 0 {
                    words.append("\(unsealed >= 10_000 ? "10000+" : "\(unsealed)") not sealed yet")
                }
                return "\(environment): \(words.joined(separator: ", "))\nhead \(head)"
            }
        }

        func run() async throws {
            try await Tool.run(options) { pool, _ in
                let environments =
                    environment == nil && expect == nil
                    ? try await Environments.list(in: pool) : [try await Tool.environment(environment, in: pool)]
                var rows: [Row] = []
                for environment in environments {
                    guard
                        let report = try await AuditVerification.run(
                            environmentID: environment.id, expected: expect.flatMap(AuditHead.parse), pool: pool)
                    else { continue }
                    rows.append(
                        Row(
                            environment: environment.name, head: report.head, sealedAt: report.sealedAt,
                            firstSeal: report.firstSeal, seals: report.seals, rows: report.rows,
                            erased: report.erased, unsealed: report.unsealed, oldestUnsealed: report.oldestUnsealed,
                            fault: report.fault))
                }
                try output.print(rows, text: rows.map(\.text).joined(separator: "\n"))
                if rows.contains(where: { $0.fault != nil }) { throw ExitCode.failure }
            }
        }
    }

    struct Head: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print each chain's head, to be kept where nobody who can write to the database can reach it.",
            discussion: "Example: evergrant audit head --environment live >> /mnt/elsewhere/heads")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @Option(name: .long, help: "Only this environment, and only its head.")
        var environment: String?

        struct Row: Encodable {
            let environment, head: String
            let sealedAt: Date?
        }

        func run() async throws {
            try await Tool.run(options) { pool, _ in
                let environments =
                    environment == nil
                    ? try await Environments.list(in: pool) : [try await Tool.environment(environment, in: pool)]
                var rows: [Row] = []
                for environment in environments {
                    if let head = try await AuditHead.find(environmentID: environment.id, in: pool) {
                        rows.append(Row(environment: environment.name, head: head.text, sealedAt: head.sealedAt))
                    }
                }
                let isOne = environment != nil
                try output.print(
                    rows, text: rows.map { isOne ? $0.head : "\($0.environment) \($0.head)" }.joined(separator: "\n"))
            }
        }
    }
}
