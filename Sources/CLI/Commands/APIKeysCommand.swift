import ArgumentParser
import Bootstrap
import Credentials
import Foundation
import Postgres
import Store

struct APIKeysCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "apikeys", abstract: "Make, list and revoke API keys.",
        subcommands: [Create.self, List.self, Revoke.self])

    /// A key as it is shown: never its text, but when it is made.
    struct Row: Encodable {
        let id, environment, name, role, prefix, lastFour, state: String
        let createdAt: Date
        let expiresAt, revokedAt: Date?
        var key: String?

        init(_ record: APIKeyRecord, environment: String) {
            id = record.uid
            self.environment = environment
            name = record.name
            role = record.role.rawValue
            prefix = record.prefix
            lastFour = record.lastFour
            createdAt = record.createdAt
            expiresAt = record.expiresAt
            revokedAt = record.revokedAt
            state =
                record.revokedAt != nil ? "revoked" : record.expiresAt.map { $0 <= Date() } == true ? "expired" : "good"
        }
    }

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Make a key and print it, once.")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @Option(name: .long, help: "The environment that the key opens.")
        var environment: String?
        @Option(
            name: .long,
            help: ArgumentHelp("Make the environment first when it does not exist: test or live.", valueName: "mode"))
        var createEnvironment: String?
        @Option(name: .long, help: "What it may do: \(APIKeyRole.allCases.map(\.rawValue).joined(separator: ", ")).")
        var role = "full"
        @Option(name: .long, help: "A name to know it by.")
        var name = ""
        @Option(name: .long, help: ArgumentHelp("End it after this time, for example 90d.", valueName: "duration"))
        var expires: String?

        func validate() throws {
            guard APIKeyRole(rawValue: role) != nil else { throw ValidationError("--role \(role) is not a role") }
            if let createEnvironment, Mode(rawValue: createEnvironment) == nil {
                throw ValidationError("--create-environment takes test or live")
            }
            if createEnvironment != nil, environment == nil {
                throw ValidationError("--create-environment needs --environment with the new one's name")
            }
            if let expires, DurationText.parse(expires) == nil {
                throw ValidationError("--expires takes a duration: 12h, 90d")
            }
        }

        func run() async throws {
            try await Tool.run(options) { pool, _ in
                if let mode = createEnvironment.flatMap(Mode.init(rawValue:)), let environment {
                    _ = try await Environments.insert(name: environment, mode: mode, in: pool)
                }
                let environment = try await Tool.environment(environment, in: pool)
                let end = expires.flatMap(DurationText.parse).map { Date(timeIntervalSinceNow: $0 / .seconds(1)) }
                let draft = APIKeyDraft(mode: environment.mode)
                let record = try await APIKeys.insert(
                    draft, environmentID: environment.id, name: name, role: APIKeyRole(rawValue: role) ?? .full,
                    expiresAt: end, in: pool)
                try await Audit.record(
                    environmentID: environment.id, actor: "cli", action: "create_api_key", connectionID: nil,
                    details: Array(#"{"key":"\#(record.uid)"}"#.utf8), in: pool)
                var row = Row(record, environment: environment.name)
                row.key = draft.text.revealedText()
                try output.print(row, text: row.key ?? "")
            }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List keys, newest first; never their text.")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @Option(name: .long, help: "Only keys of this environment.")
        var environment: String?

        func run() async throws {
            try await Tool.run(options) { pool, _ in
                var rows: [Row] = []
                let environments =
                    environment == nil
                    ? try await Environments.list(in: pool) : [try await Tool.environment(environment, in: pool)]
                for environment in environments {
                    rows += try await APIKeys.list(environmentID: environment.id, in: pool)
                        .map { Row($0, environment: environment.name) }
                }
                var table = TextTable("ID", "ENVIRONMENT", "ROLE", "KEY", "STATE", "CREATED", "EXPIRES", "NAME")
                for row in rows {
                    table.add(
                        row.id, row.environment, row.role, "\(row.prefix)…\(row.lastFour)", row.state,
                        row.createdAt.tableText, row.expiresAt.tableText, row.name)
                }
                try output.print(rows, text: table.text)
            }
        }
    }

    struct Revoke: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "End a key, at once or after a while.")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @Argument(help: "The key's id, as listed: key_….")
        var id: String
        @Option(name: .long, help: ArgumentHelp("Let it open for this long still.", valueName: "duration"))
        var after = "0s"

        func validate() throws {
            guard DurationText.parse(after) != nil else { throw ValidationError("--after takes a duration: 10m, 7d") }
        }

        func run() async throws {
            try await Tool.run(options) { pool, _ in
                for environment in try await Environments.list(in: pool) {
                    guard
                        let record = try await APIKeys.expire(
                            uid: id, environmentID: environment.id, after: DurationText.parse(after) ?? .zero, in: pool)
                    else { continue }
                    try await Audit.record(
                        environmentID: environment.id, actor: "cli", action: "revoke_api_key", connectionID: nil,
                        details: Array(#"{"key":"\#(record.uid)"}"#.utf8), in: pool)
                    let row = Row(record, environment: environment.name)
                    return try output.print(
                        row, text: "\(row.id) ends \(row.revokedAt == nil ? "at \(row.expiresAt.tableText)" : "now")")
                }
                throw InvalidValue(
                    item: "key \(id.prefix(80))", problem: "does not exist", repair: "see evergrant apikeys list")
            }
        }
    }
}
