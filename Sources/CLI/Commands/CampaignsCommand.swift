import ArgumentParser
import Bootstrap
import Credentials
import Foundation
import Pacing
import Postgres
import Store

struct CampaignsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "campaigns", abstract: "Refresh, validate, revoke, reconnect or rewrap many connections.",
        discussion: """
            A campaign works a few connections at a time behind everything that is due. It goes on without this command.

              evergrant campaigns start refresh --integration gmail --state degraded
              evergrant campaigns start refresh --integration gmail --state degraded --rate 600/minute --yes
              evergrant campaigns watch cmp_…
            """,
        subcommands: [
            Start.self, List.self, Show.self, Watch.self, Members.self, Pause.self, Resume.self, Cancel.self,
        ], defaultSubcommand: List.self)

    /// One campaign, as its document says.
    struct Sight: Codable {
        let id, action, state: String
        let rate: String?
        let note, created_by: String
        let is_counted: Bool
        let members, units: Int
        let outcomes: [String: Int]
        let created_at: String
        let started_at, paused_at, ended_at: String?

        init(_ document: [UInt8]) throws { self = try JSONDecoder().decode(Self.self, from: Data(document)) }

        func count(_ outcome: CampaignOutcome) -> Int { outcomes[outcome.rawValue] ?? 0 }
        var done: Int { [.succeeded, .refused, .trouble, .skipped].map(count).reduce(0, +) }
        var hasEnded: Bool { state == "finished" || state == "cancelled" }

        /// `[#########...........]  45 %  450 of 1000: 440 succeeded, 6 refused, …`
        var progress: String {
            let share = members == 0 ? (hasEnded ? 1 : 0) : Double(done) / Double(members)
            let filled = Int(share * 30)
            let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: 30 - filled)
            let parts = CampaignOutcome.allCases.filter { count($0) > 0 }.map { "\(count($0)) \($0.rawValue)" }
            return "[\(bar)] \(Int(share * 100)) %  \(done) of \(members)\(is_counted ? "" : "+")"
                + (parts.isEmpty ? "" : ": " + parts.joined(separator: ", "))
        }

        var text: String {
            var lines = ["\(id)  \(action)  \(state)\(rate.map { "  at most \($0)" } ?? "")", progress]
            if units != members { lines.append("\(units) identities") }
            if !note.isEmpty { lines.append("note: \(TextTable.plain(note))") }
            lines.append("started \(created_at) by \(created_by)" + (ended_at.map { ", ended \($0)" } ?? ""))
            return lines.joined(separator: "\n")
        }
    }

    /// How a command names one campaign.
    struct Target: ParsableArguments {
        @Argument(help: "The campaign: cmp_…")
        var campaign: String
        @Option(name: .long, help: "Its environment; needed when there are several.")
        var environment: String?

        func unknown() -> InvalidValue {
            InvalidValue(
                item: "campaign \(campaign.prefix(80))", problem: "does not exist in this environment",
                repair: "see evergrant campaigns list")
        }

        func find(in pool: PostgresPool) async throws -> Sight {
            let environment = try await Tool.environment(environment, in: pool)
            guard
                let document = try await Campaigns.find(uid: campaign, environmentID: environment.id, in: pool)
            else { throw unknown() }
            return try Sight(document)
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List campaigns, the newest first.")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @Option(name: .long, help: "Its environment; needed when there are several.")
        var environment: String?
        @Option(name: .long, help: "At most so many, up to 200.")
        var limit = 20

        func run() async throws {
            try await Tool.run(options) { pool, _ in
                let environment = try await Tool.environment(environment, in: pool)
                let rows = try await Campaigns.list(
                    environmentID: environment.id, before: nil, limit: limit, in: pool
                ).map { try Sight($0.document) }
                var table = TextTable("CAMPAIGN", "ACTION", "STATE", "MEMBERS", "DONE", "REFUSED", "TROUBLE", "STARTED")
                for row in rows {
                    table.add(
                        row.id, row.action, row.state, "\(row.members)", "\(row.done)", "\(row.count(.refused))",
                        "\(row.count(.trouble))", row.created_at)
                }
                try output.print(rows, text: rows.isEmpty ? "no campaigns" : table.text)
            }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show how far a campaign has come.")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var target: Target

        func run() async throws {
            try await Tool.run(options) { pool, _ in
                let sight = try await target.find(in: pool)
                try output.print(sight, text: sight.text)
            }
        }
    }

    struct Watch: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print progress until the campaign ends; exit status 1 when members met trouble or refusal.",
            discussion: "Ends as soon as the campaign has; stopping it leaves the campaign at work.")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var target: Target
        @Option(name: .long, help: ArgumentHelp("Time between two looks.", valueName: "duration"))
        var every = "2s"

        func validate() throws {
            guard let wait = DurationText.parse(every), wait >= .milliseconds(100) else {
                throw ValidationError("--every takes a duration of at least 100ms")
            }
        }

        func run() async throws {
            let wait = DurationText.parse(every) ?? .seconds(2)
            let end = try await Tool.run(options) { pool, _ in
                var last = ""
                while true {
                    let sight = try await target.find(in: pool)
                    let line = "\(sight.state)  \(sight.progress)"
                    if line != last { print(line) }
                    fflush(nil)
                    last = line
                    if sight.hasEnded { return sight }
                    try await Task.sleep(for: wait)
                }
            }
            if end.count(.refused) + end.count(.trouble) > 0 { throw ExitCode(1) }
        }
    }

    struct Members: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List members of a campaign, by outcome.")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var target: Target
        @Option(name: .long, help: "queued, running, succeeded, refused, trouble or skipped.")
        var outcome: String?
        @Option(name: .long, help: "At most so many.")
        var limit = 100
        @Option(name: .long, help: ArgumentHelp("Only those after this place.", valueName: "place"))
        var after: Int64 = 0

        private struct Row: Encodable {
            let place: Int64
            let subject: String
            let id, integration, identity: String?
            let outcome: String
            let detail: String?
            let endedAt: Date?
        }

        func validate() throws {
            guard outcome.map({ CampaignOutcome(rawValue: $0) != nil }) ?? true else {
                throw ValidationError(
                    "--outcome takes one of \(CampaignOutcome.allCases.map(\.rawValue).joined(separator: ", "))")
            }
            guard (1...1_000_000).contains(limit) else { throw ValidationError("--limit takes 1 to 1000000") }
        }

        func run() async throws {
            try await Tool.run(options) { pool, _ in
                let environment = try await Tool.environment(target.environment, in: pool)
                var rows: [Row] = []
                var place = after
                while rows.count < limit {
                    let wanted = min(1000, limit - rows.count)
                    guard
                        let page = try await Campaigns.members(
                            uid: target.campaign, environmentID: environment.id,
                            outcomes: outcome.flatMap(CampaignOutcome.init).map { [$0] } ?? CampaignOutcome.allCases,
                            after: place, limit: wanted, in: pool)
                    else { throw target.unknown() }
                    rows += page.map {
                        Row(
                            place: $0.place, subject: $0.subject, id: $0.publicID, integration: $0.integration,
                            identity: $0.identity, outcome: $0.outcome.rawValue, detail: $0.detail, endedAt: $0.endedAt)
                    }
                    guard let last = page.last, page.count == wanted else { break }
                    place = last.place
                }
                var table = TextTable("PLACE", "MEMBER", "INTEGRATION", "IDENTITY", "OUTCOME", "WHY", "ENDED")
                for row in rows {
                    table.add(
                        "\(row.place)", row.id ?? "–", row.integration ?? "–", row.identity ?? "–", row.outcome,
                        row.detail ?? "–", row.endedAt.tableText)
                }
                try output.print(rows, text: rows.isEmpty ? "no members" : table.text)
            }
        }
    }
}
