import ArgumentParser
import Bootstrap
import Credentials
import Foundation
import Jobs
import Postgres
import Queue
import Store

struct ConnectionsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "connections", abstract: "Look at connections, and refresh one now.",
        subcommands: [List.self, Show.self, Refresh.self])

    /// A connection as it is shown: never a credential.
    struct Row: Encodable {
        let id, key, environment, integration, identity, identityType, name, state: String
        let reason: String?
        let account: String?
        let since: Date
        let generation: Int64
        let failures: Int
        let accessExpiresAt, refreshDueAt, endsAt: Date?

        init(_ record: ConnectionRecord, environment: String) {
            id = record.publicID
            key = record.key.description
            self.environment = environment
            integration = record.integration
            identity = record.identity.value
            identityType = record.identity.type.rawValue
            name = record.name
            state = record.state.rawValue
            reason = record.reason?.rawValue
            account = record.accountLabel ?? record.accountID
            since = record.since
            generation = record.generation
            failures = record.failures
            accessExpiresAt = record.accessExpiresAt
            refreshDueAt = record.refreshDueAt
            endsAt = record.endsAt
        }
    }

    /// How a command names one connection.
    struct Target: ParsableArguments {
        @Argument(help: "The connection: its id (conn_…), its key, or the 32 digits of either.")
        var connection: String
        @Option(name: .long, help: "Its environment; needed when there are several.")
        var environment: String?

        func find(in pool: PostgresPool) async throws -> (EnvironmentRecord, ConnectionRecord) {
            let digits = connection.split(separator: "|").first.flatMap { $0.split(whereSeparator: { $0 == ":" }).last }
            let hex = digits.map { $0.hasPrefix("conn_") ? String($0.dropFirst(5)) : String($0) } ?? ""
            guard let uid = UUID(hex: hex) else {
                throw InvalidValue(
                    item: "connection \(connection.prefix(80))", problem: "is neither an id nor a key",
                    repair: "give it as `evergrant connections list` shows it")
            }
            let environments =
                environment == nil
                ? try await Environments.list(in: pool) : [try await Tool.environment(environment, in: pool)]
            for environment in environments {
                if let found = try await Connections.find(uid: uid, environmentID: environment.id, in: pool) {
                    return (environment, found)
                }
            }
            throw InvalidValue(
                item: "connection \(connection.prefix(120))", problem: "does not exist",
                repair: "see evergrant connections list")
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List connections of an environment.")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @Option(name: .long, help: "The environment; needed when there are several.")
        var environment: String?
        @Option(
            name: .long, help: "Only this state: \(ConnectionState.allCases.map(\.rawValue).joined(separator: ", ")).")
        var state: String?
        @Option(name: .long, help: "Only this integration.")
        var integration: String?
        @Option(name: .long, help: "Only this identity.")
        var identity: String?
        @Option(name: .long, help: "At most so many, up to 200.")
        var limit = 50

        func validate() throws {
            if let state, ConnectionState(rawValue: state) == nil {
                throw ValidationError("--state \(state) is not a state")
            }
            guard (1...200).contains(limit) else { throw ValidationError("--limit takes 1 to 200") }
        }

        func run() async throws {
            try await Tool.run(options) { pool, _ in
                let environment = try await Tool.environment(environment, in: pool)
                var filter = ConnectionFilter(environmentID: environment.id, limit: limit)
                filter.state = state.flatMap(ConnectionState.init(rawValue:))
                filter.integration = integration
                filter.identity = identity
                let page = try await Connections.list(filter, in: pool)
                let rows = page.rows.map { Row($0, environment: environment.name) }
                var table = TextTable("ID", "INTEGRATION", "IDENTITY", "ACCOUNT", "STATE", "SINCE", "GENERATION")
                for row in rows {
                    table.add(
                        row.id, row.integration, "\(row.identityType)/\(row.identity)", row.account ?? "–",
                        row.state + (row.reason.map { " (\($0))" } ?? ""), row.since.tableText, String(row.generation))
                }
                try output.print(
                    rows, text: table.text + (page.total > rows.count ? "\n\(rows.count) of \(page.total)" : ""))
            }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show one connection; never its credential.")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var target: Target

        func run() async throws {
            try await Tool.run(options) { pool, _ in
                let (environment, record) = try await target.find(in: pool)
                let row = Row(record, environment: environment.name)
                let lines = [
                    "\(row.id)  \(row.state)\(row.reason.map { " (\($0))" } ?? "") since \(row.since.tableText)",
                    "  key             \(row.key)", "  environment     \(row.environment)",
                    "  integration     \(row.integration)", "  owner           \(row.identityType)/\(row.identity)",
                    "  account         \(row.account ?? "–")", "  name            \(row.name)",
                    "  generation      \(row.generation), \(row.failures) failures since",
                    "  access ends     \(row.accessExpiresAt.tableText)",
                    "  refresh due     \(row.refreshDueAt.tableText)",
                    "  grant ends      \(row.endsAt.tableText)",
                ]
                try output.print(row, text: lines.joined(separator: "\n"))
            }
        }
    }

    struct Refresh: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Have a worker refresh a connection now, and tell what came of it.")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var target: Target
        @Option(name: .long, help: ArgumentHelp("Wait so long for the outcome.", valueName: "duration"))
        var wait = "30s"

        func validate() throws {
            guard DurationText.parse(wait) != nil else { throw ValidationError("--wait takes a duration: 30s, 2m") }
        }

        func run() async throws {
            try await Tool.run(options) { pool, logger in
                let (environment, before) = try await target.find(in: pool)
                let arguments = RefreshConnection(connection: before.id, generation: before.generation)
                let queue = JobQueue(pool: pool, logger: logger)
                let jobs = try await queue.enqueue([
                    try arguments.job(environmentID: environment.id, priority: .awaited)
                ])
                let after = try await outcome(of: before, jobs.first?.jobID, queue: queue, pool: pool)
                let row = Row(after, environment: environment.name)
                let words =
                    after.generation > before.generation
                    ? "refreshed: generation \(after.generation), access ends \(row.accessExpiresAt.tableText)"
                    : "not refreshed: \(row.state)\(row.reason.map { " (\($0))" } ?? ""), \(row.failures) failures"
                try output.print(row, text: words)
                if after.generation == before.generation { throw ExitCode(1) }
            }
        }

        /// Looks until the generation or the state moves, the job ends, or the wait is over.
        private func outcome(
            of before: ConnectionRecord, _ jobID: Int64?, queue: JobQueue, pool: PostgresPool
        ) async throws -> ConnectionRecord {
            let end = ContinuousClock.now + (DurationText.parse(wait) ?? .seconds(30))
            while true {
                guard let now = try await Connections.find(id: before.id, in: pool) else { return before }
                let hasMoved = now.generation != before.generation || now.version != before.version
                if hasMoved || now.failures != before.failures || ContinuousClock.now > end { return now }
                if let jobID, let job = try await queue.find(jobID),
                    [.completed, .cancelled, .discarded].contains(job.state)
                {
                    return try await Connections.find(id: before.id, in: pool) ?? now
                }
                try await Task.sleep(for: .milliseconds(100))
            }
        }
    }
}

extension UUID {
    /// Reads 32 hexadecimal digits.
    fileprivate init?(hex: String) {
        guard hex.utf8.count == 32 else { return nil }
        let parts = [8, 4, 4, 4, 12].reduce(into: (rest: Substring(hex), parts: [Substring]())) { state, length in
            state.parts.append(state.rest.prefix(length))
            state.rest = state.rest.dropFirst(length)
        }.parts
        self.init(uuidString: parts.joined(separator: "-"))
    }
}
