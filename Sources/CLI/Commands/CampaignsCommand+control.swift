import ArgumentParser
import Bootstrap
import Foundation
import Postgres
import Store

extension CampaignsCommand {
    struct Pause: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Stop a campaign until it is resumed; members that have begun go on to their end.")
        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var target: Target

        func run() async throws { try await CampaignsCommand.control(.pause, options, output, target) }
    }

    struct Resume: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Let a paused campaign go on.")
        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var target: Target

        func run() async throws { try await CampaignsCommand.control(.resume, options, output, target) }
    }

    struct Cancel: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "End a campaign; members that wait are skipped, and nothing that was done is undone.")
        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var target: Target

        func run() async throws { try await CampaignsCommand.control(.cancel, options, output, target) }
    }

    private static func control(
        _ what: CampaignControl, _ options: ConfigurationOptions, _ output: OutputOptions, _ target: Target
    ) async throws {
        try await Tool.run(options) { pool, _ in
            let environment = try await Tool.environment(target.environment, in: pool)
            guard
                let document = try await Campaigns.control(
                    what, uid: target.campaign, environmentID: environment.id, actor: "cli", in: pool)
            else { throw target.unknown() }
            let sight = try Sight(document)
            try output.print(sight, text: sight.text)
        }
    }
}
