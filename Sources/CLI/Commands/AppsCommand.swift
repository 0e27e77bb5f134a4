import ArgumentParser
import Bootstrap
import Credentials
import Foundation
import Jobs
import Postgres
import Queue
import Schema
import Store

struct AppsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "apps", abstract: "Say which database role of an app may enqueue jobs by SQL.",
        discussion: "Makes and changes no role of the database; docs/enqueue.md tells what an app does with it.",
        subcommands: [List.self, Allow.self, Deny.self])

    /// A grant as it is shown.
    struct Row: Encodable {
        let role, environment: String
        let kinds: [String]
        let priority: Int16
        let batch, queues: Int
        let access: String
        let createdAt, changedAt: Date
        /// What remains to be done before the role can call the functions, a command or statement each.
        let remaining: [String]

        init(_ grant: AppGrant, environment: String) {
            role = grant.role
            self.environment = environment
            kinds = grant.kinds
            priority = grant.bestPriority
            batch = grant.largestBatch
            queues = grant.mostQueues
            access = grant.access.rawValue
            createdAt = grant.createdAt
            changedAt = grant.changedAt
            let name = Self.identifier(grant.role)
            let admit = ["evergrant migrate --roles", "grant \(SchemaRoles().app) to \(name);"]
            remaining =
                switch grant.access {
                case .open: []
                case .missing: ["create role \(name) login password '…';"] + admit
                case .closed: admit
                case .group: ["grant \(name) to <login>;"]
                }
        }

        /// As SQL writes it.
        private static func identifier(_ name: String) -> String {
            name.wholeMatch(of: /[a-z_][a-z0-9_]*/) != nil ? name : "\"\(name.replacing("\"", with: "\"\""))\""
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List what is allowed. ACCESS: open, group (its members), closed or missing (cannot call yet).")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @Option(name: .long, help: "Only this environment.")
        var environment: String?

        func run() async throws {
            try await Tool.run(options) { pool, _ in
                let environments =
                    environment == nil
                    ? try await Environments.list(in: pool) : [try await Tool.environment(environment, in: pool)]
                var rows: [Row] = []
                for environment in environments {
                    rows += try await AppGrants(pool: pool).list(environmentID: environment.id)
                        .map { Row($0, environment: environment.name) }
                }
                var table = TextTable("ROLE", "ENVIRONMENT", "ACCESS", "PRIORITY", "BATCH", "QUEUES", "KINDS")
                for row in rows {
                    table.add(
                        row.role, row.environment, row.access, "\(row.priority)–3", String(row.batch),
                        String(row.queues), row.kinds.joined(separator: " "))
                }
                try output.print(rows, text: table.text)
            }
        }
    }

    struct Allow: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Let a role enqueue kinds of jobs in an environment.",
            discussion: """
                Adds to what it may already. Whoever may enqueue a kind may also see, cancel and retry every job of it in \
                that environment. Changes no role of the database, but says which statements do.
                """)

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @Option(name: .long, help: "The app's login at the database, or a role that its logins are members of.")
        var role: String
        @Option(name: .long, help: "The environment; needed when there are several.")
        var environment: String?
        @Option(name: .long, help: "A kind of job, for example connection.validate; repeatable.")
        var kind: [String]
        @Option(name: .long, help: "The most urgent priority, 0 to 3; 0 goes first. At first 2.")
        var priority: Int16?
        @Option(name: .long, help: "Jobs in one call, up to 10000. At first 1000.")
        var batch: Int?
        @Option(name: .long, help: "It may make queues until the environment has so many. At first 10.")
        var queues: Int?

        func run() async throws {
            try await Tool.run(options) { pool, _ in
                let environment = try await Tool.environment(environment, in: pool)
                let grant = try await AppGrants(pool: pool).allow(
                    role: role, environmentID: environment.id, kinds: kind, bestPriority: priority,
                    largestBatch: batch, mostQueues: queues)
                try await AppsCommand.audit("allow_app", role, environment, pool)
                let row = Row(grant, environment: environment.name)
                var lines = [
                    "\(row.role) may enqueue in \(row.environment): \(row.kinds.joined(separator: ", "))",
                    "  priority \(row.priority) to 3, up to \(row.batch) jobs a call, up to \(row.queues) queues",
                ]
                let strange = kind.filter { !AppsCommand.ownKinds.contains($0) }
                if !strange.isEmpty {
                    lines.append(
                        "  no worker of this version performs \(strange.joined(separator: ", ")): such jobs wait for one "
                            + "that does")
                }
                if !row.remaining.isEmpty {
                    lines.append("before it can, an administrator of the database runs:")
                    lines += row.remaining.map { "  \($0)" }
                }
                try output.print(row, text: lines.joined(separator: "\n"))
            }
        }
    }

    struct Deny: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take kinds of jobs away from a role, or all it may in an environment.",
            discussion: "Takes effect with the role's next call. Jobs that are enqueued stay.")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @Option(name: .long, help: "The role, as listed.")
        var role: String
        @Option(name: .long, help: "The environment; needed when there are several.")
        var environment: String?
        @Option(name: .long, help: "Only this kind; repeatable.")
        var kind: [String] = []

        func run() async throws {
            try await Tool.run(options) { pool, _ in
                let environment = try await Tool.environment(environment, in: pool)
                let grants = AppGrants(pool: pool)
                guard try await grants.deny(role: role, environmentID: environment.id, kinds: kind) else {
                    throw InvalidValue(
                        item: "role \(role.prefix(63))",
                        problem: "may not use \(kind.isEmpty ? "anything" : kind.joined(separator: ", ")) in "
                            + "environment \(environment.name) anyhow",
                        repair: "see evergrant apps list")
                }
                try await AppsCommand.audit("deny_app", role, environment, pool)
                struct Result: Encodable {
                    let role, environment: String
                    let kinds: [String]
                }
                let left = try await grants.list(environmentID: environment.id).first { $0.role == role }?.kinds ?? []
                try output.print(
                    Result(role: role, environment: environment.name, kinds: left),
                    text: "\(role) may enqueue in \(environment.name): "
                        + (left.isEmpty ? "nothing" : left.joined(separator: ", ")))
            }
        }
    }

    /// What the workers of this version perform.
    private static let ownKinds = [
        RefreshConnection.kind, RecoverAttempt.kind, ValidateConnection.kind, RevokeConnection.kind,
        DeliverWebhook.kind,
    ]

    private static func audit(
        _ action: String, _ role: String, _ environment: EnvironmentRecord, _ pool: PostgresPool
    ) async throws {
        try await Audit.record(
            environmentID: environment.id, actor: "cli", action: action, connectionID: nil,
            details: Array(try JSONEncoder().encode(["role": role])), in: pool)
    }
}
