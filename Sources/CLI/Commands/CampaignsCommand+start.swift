import ArgumentParser
import Bootstrap
import Foundation
import Postgres
import Store

extension CampaignsCommand {
    struct Start: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show what a campaign would work on; with --yes, start it.",
            discussion: """
                Options that say which connections narrow it together; one that is given several times matches any of its \
                values.

                  evergrant campaigns start reconnect --integration slack --state broken --rate 100/minute --yes
                  evergrant campaigns start refresh --of cmp_… --outcome trouble --yes
                  evergrant campaigns start rewrap --all --yes
                """)

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @Argument(help: "\(CampaignAction.allCases.map(\.rawValue).joined(separator: ", ")).")
        var action: String
        @Option(name: .long, help: "The environment; needed when there are several.")
        var environment: String?
        @Flag(name: .long, help: "All connections that the action can work on.")
        var all = false
        @Option(name: .long, help: "Of this integration.")
        var integration: [String] = []
        @Option(name: .long, help: ArgumentHelp("Of this OAuth app.", valueName: "app_…"))
        var oauthApp: [String] = []
        @Option(name: .long, help: "Of this provider.")
        var provider: [String] = []
        @Option(name: .long, help: "In this state; without it, in those where the action makes sense.")
        var state: [String] = []
        @Option(name: .long, help: "For this reason.")
        var reason: [String] = []
        @Option(name: .long, help: "Lacking this scope; `any` for whatever was asked for and not granted.")
        var missingScope: [String] = []
        @Option(name: .long, help: "Of this identity.")
        var identity: [String] = []
        @Option(name: .long, help: "Of this type: user, team, organization, project.")
        var identityType: [String] = []
        @Option(name: .long, help: "With this tag.")
        var tag: [String] = []
        @Option(name: .long, help: ArgumentHelp("Whose grant ends before: 2026-12-31.", valueName: "date"))
        var endsBefore: String?
        @Option(name: .customLong("of"), help: ArgumentHelp("Members of an earlier campaign.", valueName: "cmp_…"))
        var campaign: String?
        @Option(name: .long, help: "Of the earlier campaign, those with this outcome.")
        var outcome: [String] = []
        @Option(name: .long, help: "At most so many members: 10/second, 600/minute, 5000/hour.")
        var rate: String?
        @Option(name: .long, help: "Starting again with this key shows the first campaign.")
        var key: String?
        @Option(name: .long, help: "For those who look; also in the events of reconnect.")
        var note: String?
        @Flag(name: .long, help: "Start it.")
        var yes = false

        private struct Preview: Codable {
            struct Group: Codable {
                let integration, state: String
                let members: Int
            }
            let action: String
            let members: Int
            let is_capped: Bool
            let secrets: Int?
            let groups: [Group]
        }

        /// The selection as the database takes it.
        private func selection() throws -> [UInt8] {
            var fields: [String: Any] = [:]
            if all { fields["all"] = true }
            let lists = [
                "integration": integration, "oauth_app": oauthApp, "provider": provider, "state": state,
                "reason": reason, "identity": identity, "identity_type": identityType, "tag": tag, "outcome": outcome,
                "missing_scope": missingScope,
            ]
            for (field, values) in lists where !values.isEmpty { fields[field] = values }
            if missingScope == ["any"] { fields["missing_scope"] = true }
            if let endsBefore { fields["ends_before"] = endsBefore }
            if let campaign { fields["campaign"] = campaign }
            return Array(try JSONSerialization.data(withJSONObject: fields))
        }

        func run() async throws {
            let order = CampaignOrder(action: action, selection: try selection(), rate: rate, key: key, note: note)
            try await Tool.run(options) { pool, _ in
                let environment = try await Tool.environment(environment, in: pool)
                guard !yes else {
                    let sight = try Sight(
                        try await Campaigns.start(order, environmentID: environment.id, actor: "cli", in: pool))
                    return try output.print(
                        sight, text: sight.text + "\nfollow it: evergrant campaigns watch \(sight.id)")
                }
                let found = try JSONDecoder().decode(
                    Preview.self,
                    from: Data(try await Campaigns.preview(order, environmentID: environment.id, in: pool)))
                var table = TextTable("INTEGRATION", "STATE", "MEMBERS")
                for group in found.groups { table.add(group.integration, group.state, "\(group.members)") }
                let secrets = found.secrets.map { ", \($0) of them OAuth apps and webhook endpoints" } ?? ""
                let summary =
                    "\(action) would work on \(found.members)\(found.is_capped ? " or more" : "")\(secrets); "
                    + "nothing is started: add --yes"
                try output.print(found, text: found.groups.isEmpty ? summary : table.text + "\n" + summary)
            }
        }
    }
}
