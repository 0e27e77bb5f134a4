import ArgumentParser
import Bootstrap
import Credentials
import Foundation
import Logging
import Postgres
import Queue
import Store
import Webhooks

struct WebhooksCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "webhooks", abstract: "See how webhook endpoints do; send events again; stop and start.",
        discussion: """
            Example: evergrant webhooks replay main --since 2h --undelivered
            Endpoints are made over HTTP (PUT /v1/webhook-endpoints/{name}), which shows their secret once; docs/webhooks.md.
            """,
        subcommands: [
            List.self, Show.self, Deliveries.self, Delivery.self, Redeliver.self, Replay.self, Test.self, Enable.self,
            Disable.self,
        ], defaultSubcommand: List.self)

    /// What the commands about one endpoint share.
    struct Target: ParsableArguments {
        @Argument(help: "The endpoint's name.")
        var name: String
        @Option(name: .long, help: "The environment; needed when there are several.")
        var environment: String?

        func find(in pool: PostgresPool) async throws -> WebhookEndpointRecord {
            let environment = try await Tool.environment(environment, in: pool)
            guard
                let found = try await WebhookEndpoints.find(name: name, environmentID: environment.id, in: pool)
            else { throw missing }
            return found
        }

        var missing: InvalidValue {
            InvalidValue(
                item: "webhook endpoint \(name.prefix(64))", problem: "does not exist",
                repair: "see evergrant webhooks list")
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List endpoints and how they do.", discussion: "Example: evergrant webhooks list --json")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @Option(name: .long, help: "Only this environment.")
        var environment: String?

        func run() async throws {
            try await Tool.run(options) { pool, _ in
                let environments =
                    environment == nil
                    ? try await Environments.list(in: pool) : [try await Tool.environment(environment, in: pool)]
                var rows: [EndpointRow] = []
                for environment in environments {
                    for endpoint in try await WebhookEndpoints.list(environmentID: environment.id, in: pool) {
                        let health = try await Store.Deliveries.health(endpointID: endpoint.id, in: pool)
                        rows.append(EndpointRow(endpoint, health, environment: environment.name))
                    }
                }
                var table = TextTable("NAME", "ENVIRONMENT", "STATE", "SUCCESS", "PENDING", "LAST DELIVERED", "URL")
                for row in rows {
                    table.add(
                        row.name, row.environment, row.state, row.successText, row.pendingText,
                        row.lastDeliveredAt.tableText, row.url)
                }
                try output.print(rows, text: rows.isEmpty ? "no endpoints" : table.text)
            }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show an endpoint and how it does.", discussion: "Example: evergrant webhooks show main")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var target: Target

        func run() async throws {
            try await Tool.run(options) { pool, _ in
                let environment = try await Tool.environment(target.environment, in: pool)
                let found = try await target.find(in: pool)
                let row = EndpointRow(
                    found, try await Store.Deliveries.health(endpointID: found.id, in: pool),
                    environment: environment.name)
                try output.print(row, text: row.text)
            }
        }
    }

    struct Deliveries: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List deliveries to an endpoint, newest first.",
            discussion: "Example: evergrant webhooks deliveries main --state failed")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var target: Target
        @Option(name: .long, help: "Only those that are pending, delivered or failed.")
        var state: String?
        @Option(name: .long, help: "How many, up to 200.")
        var limit = 50

        func validate() throws {
            guard state.map({ DeliveryState(rawValue: $0) != nil }) ?? true else {
                throw ValidationError("--state takes pending, delivered or failed")
            }
        }

        func run() async throws {
            try await Tool.run(options) { pool, _ in
                let found = try await target.find(in: pool)
                let rows = try await Store.Deliveries.list(
                    environmentID: found.environmentID, endpointID: found.id,
                    state: state.flatMap(DeliveryState.init), limit: limit, in: pool
                ).map { DeliveryRow($0) }
                var table = TextTable("ID", "EVENT", "TYPE", "STATE", "TRIES", "LAST", "NEXT TRY", "MADE")
                for row in rows {
                    table.add(
                        row.id, row.event, row.type, row.state, "\(row.attempts)", row.last,
                        row.nextAttemptAt.tableText, row.createdAt.tableText)
                }
                try output.print(rows, text: rows.isEmpty ? "no deliveries" : table.text)
            }
        }
    }

    struct Delivery: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show a delivery with its last 50 tries.",
            discussion: "Example: evergrant webhooks delivery dlv_…")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @Argument(help: "The delivery's id: dlv_….")
        var id: String

        func run() async throws {
            try await Tool.run(options) { pool, _ in
                let row = DeliveryRow(try await WebhooksCommand.delivery(id, in: pool))
                try output.print(row, text: row.text)
            }
        }
    }

    struct Redeliver: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Send an event to an endpoint again, under the same webhook-id.",
            discussion: "Example: evergrant webhooks redeliver dlv_…")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @Argument(help: "The delivery's id: dlv_….")
        var id: String

        func run() async throws {
            try await WebhooksCommand.operate(options) { pool, dispatcher, _ in
                let found = try await WebhooksCommand.delivery(id, in: pool)
                guard try await dispatcher.redeliver(deliveryID: found.id) else {
                    throw WebhooksCommand.disabled(found.endpointName)
                }
                try output.print(["redelivered": id], text: "\(id) is on its way to \(found.endpointName)")
            }
        }
    }

    struct Replay: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Send the events of a range to an endpoint again, each under its own webhook-id.",
            discussion: """
                Also those that it was never sent. They wait behind what is due, and within the endpoint's limit.
                Example: evergrant webhooks replay main --since 2h --types connection.broken --dry-run
                """)

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var target: Target
        @Option(name: .long, help: "Begin after this position of the feed.")
        var after: Int64?
        @Option(name: .long, help: "The last position.")
        var through: Int64?
        @Option(name: .long, help: "Begin then: a time, or how long ago (2h).")
        var since: Moment?
        @Option(name: .long, help: "End before then.")
        var until: Moment?
        @Option(name: .long, help: "Only these types, separated by commas; * for all of connections.")
        var types: String?
        @Flag(name: .long, help: "Leave out what was delivered.")
        var undelivered = false
        @Flag(name: .long, help: "Only count.")
        var dryRun = false

        func validate() throws {
            guard after != nil || since != nil else {
                throw ValidationError("give --after or --since: where the replay begins")
            }
        }

        func run() async throws {
            try await WebhooksCommand.operate(options) { pool, dispatcher, _ in
                let found = try await target.find(in: pool)
                let types = types?.split(separator: ",").map(String.init)
                try WebhookEndpointRules.check(types: types)
                guard found.disabledAt == nil else { throw WebhooksCommand.disabled(found.name) }
                var range = ReplayRange()
                range.after = after ?? 0
                range.through = through
                range.since = since?.date
                range.until = until?.date
                range.types = types
                range.undeliveredOnly = undelivered
                var total = 0
                while true {
                    let (count, next) =
                        dryRun
                        ? try await Store.Deliveries.previewReplay(range, endpointID: found.id, in: pool)
                        : try await dispatcher.replay(range, endpointID: found.id)
                    total += count
                    guard let next else { break }
                    range.after = next
                }
                try output.print(
                    ["events": total],
                    text: dryRun
                        ? "\(total) events would be sent to \(found.name)"
                        : "\(total) events are on their way to \(found.name)")
            }
        }
    }

    struct Test: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Send a webhook.test event to an endpoint.", discussion: "Example: evergrant webhooks test main")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var target: Target

        func run() async throws {
            try await WebhooksCommand.operate(options) { pool, dispatcher, _ in
                let found = try await target.find(in: pool)
                guard found.disabledAt == nil else { throw WebhooksCommand.disabled(found.name) }
                guard try await dispatcher.sendTest(endpointID: found.id) else { throw target.missing }
                try output.print(
                    ["sent": Events.testType],
                    text: "sent; evergrant webhooks deliveries \(found.name) --limit 1 tells what came of it")
            }
        }
    }

    struct Enable: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Let deliveries go on; breaks that stand and were not told are sent.",
            discussion: "Example: evergrant webhooks enable main")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var target: Target

        func run() async throws {
            try await WebhooksCommand.operate(options) { pool, _, operations in
                let environment = try await Tool.environment(target.environment, in: pool)
                let changed = try await operations.enable(
                    name: target.name, environmentID: environment.id, actor: "cli")
                guard let changed else { throw target.missing }
                try output.print(["enabled": changed.name], text: "\(changed.name) is enabled")
            }
        }
    }

    struct Disable: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Stop deliveries to an endpoint; the feed keeps all.",
            discussion: "Example: evergrant webhooks disable main --reason 'moving house'")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var target: Target
        @Option(name: .long, help: "Why, for those who look.")
        var reason = "disabled by an operator"

        func run() async throws {
            try await WebhooksCommand.operate(options) { pool, _, operations in
                let environment = try await Tool.environment(target.environment, in: pool)
                let changed = try await operations.disable(
                    name: target.name, reason: reason, environmentID: environment.id, actor: "cli")
                guard let changed else { throw target.missing }
                try output.print(["disabled": changed.name], text: "\(changed.name) is disabled")
            }
        }
    }

    // MARK: Shared

    static func operate(
        _ options: ConfigurationOptions,
        _ body: (PostgresPool, WebhookDispatcher, WebhookEndpointOperations) async throws -> Void
    ) async throws {
        let configuration = try options.load(needs: .database).webhooks
        try await Tool.run(options) { pool, logger in
            let queue = JobQueue(pool: pool, logger: logger)
            try await body(
                pool, WebhookDispatcher(pool: pool, queue: queue, configuration: configuration),
                WebhookEndpointOperations(pool: pool, queue: queue, configuration: configuration))
        }
    }

    static func delivery(_ id: String, in pool: PostgresPool) async throws -> DeliveryRecord {
        for environment in try await Environments.list(in: pool) {
            if let found = try await Store.Deliveries.find(uid: id, environmentID: environment.id, in: pool) {
                return found
            }
        }
        throw InvalidValue(
            item: "delivery \(id.prefix(80))", problem: "does not exist, or was pruned",
            repair: "see evergrant webhooks deliveries <endpoint>")
    }

    static func disabled(_ name: String) -> InvalidValue {
        InvalidValue(
            item: "webhook endpoint \(name)", problem: "is disabled", repair: "evergrant webhooks enable \(name)")
    }
}
