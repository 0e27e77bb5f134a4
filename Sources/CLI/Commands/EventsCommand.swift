import ArgumentParser
import Credentials
import Foundation
import Postgres
import Store

struct EventsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "events", abstract: "Read the event feed.",
        discussion: """
            Example: evergrant events list --types connection.broken --last 20
            docs/events tells the types, each with a JSON Schema.
            """,
        subcommands: [List.self, Show.self], defaultSubcommand: List.self)

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List events in the order of the feed; --json prints them whole, one a line.",
            discussion: "Example: evergrant events list --after 1200 --limit 500 --json")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @Option(name: .long, help: "The environment; needed when there are several.")
        var environment: String?
        @Option(name: .long, help: "Begin after this position.")
        var after: Int64?
        @Option(name: .long, help: "Begin so many positions before the feed's end.")
        var last: Int64?
        @Option(name: .long, help: "Only these types, separated by commas.")
        var types: String?
        @Option(name: .long, help: "Only of this connection: conn_….")
        var connection: String?
        @Option(name: .long, help: "How many, up to 1000.")
        var limit = 100

        func validate() throws {
            guard after == nil || last == nil else { throw ValidationError("give --after or --last, not both") }
        }

        func run() async throws {
            try await Tool.run(options) { pool, _ in
                let environment = try await Tool.environment(environment, in: pool)
                let types = types?.split(separator: ",").map(String.init)
                if let unknown = types?.first(where: { !Events.types.contains($0) && $0 != Events.testType }) {
                    throw InvalidValue(
                        item: "type \(unknown.prefix(64))", problem: "does not exist",
                        repair: "use some of \(Events.types.joined(separator: ", "))")
                }
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
                var start = after
                if let last {
                    let head = try await Events.heads(environmentIDs: [environment.id], in: pool)[environment.id] ?? 0
                    start = max(0, head - last)
                }
                guard
                    let page = try await Events.page(
                        environmentID: environment.id, after: start, types: types, connectionID: connectionID,
                        limit: limit, in: pool)
                else { return }
                if let after, after < page.pruned {
                    throw InvalidValue(
                        item: "position \(after)",
                        problem: "is no longer kept; events up to \(page.pruned) were pruned",
                        repair: "use --after \(page.pruned)")
                }
                if output.json {
                    for event in page.events { print(String(decoding: event.document, as: UTF8.self)) }
                    return
                }
                var table = TextTable("POSITION", "AT", "TYPE", "ID")
                for event in page.events {
                    table.add(
                        event.position.map(String.init) ?? "–", event.createdAt.tableText, event.type, event.uid)
                }
                print(page.events.isEmpty ? "no events" : table.text)
                print("positions \(page.pruned + 1) to \(page.newest) are kept; go on with --after \(page.next)")
            }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show an event as webhooks carry it.", discussion: "Example: evergrant events show evt_…")

        @OptionGroup var options: ConfigurationOptions
        @Argument(help: "The event's id: evt_….")
        var id: String

        func run() async throws {
            try await Tool.run(options) { pool, _ in
                for environment in try await Environments.list(in: pool) {
                    if let event = try await Events.find(uid: id, environmentID: environment.id, in: pool) {
                        return print(String(decoding: event.document, as: UTF8.self))
                    }
                }
                throw InvalidValue(
                    item: "event \(id.prefix(80))", problem: "does not exist, or was pruned",
                    repair: "see evergrant events list")
            }
        }
    }
}
