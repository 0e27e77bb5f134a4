import ArgumentParser
import Bootstrap
import Catalog
import Credentials
import Foundation
import Lifecycle
import Store

struct SecretsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "secrets", abstract: "Exchange the client secret of an OAuth app without downtime.",
        discussion: """
            Example:
              evergrant secrets next slack < new-secret.txt      both secrets are tried from now on
              evergrant secrets promote slack                    the new one is the current one
              evergrant secrets retire slack                     the old one is destroyed
            docs/client-secrets.md tells the order of steps at the provider.
            """,
        subcommands: [Show.self, Next.self, Promote.self, Retire.self])

    struct Row: Encodable {
        struct Secret: Encodable {
            let role: String
            let version: Int64
            let isFirst: Bool
        }

        let id, provider, clientId: String
        let secrets: [Secret]
        let warnings: [String]

        init(_ app: OAuthAppRecord, warnings: [String]) {
            id = app.uid
            provider = app.provider
            clientId = app.clientID
            self.warnings = warnings
            let otherIsFirst = app.other != nil && app.other?.version == app.workingVersion
            var secrets: [Secret] = []
            if app.clientSecret != nil {
                secrets.append(Secret(role: "current", version: app.secretVersion, isFirst: !otherIsFirst))
            }
            if let other = app.other {
                secrets.append(Secret(role: other.role.rawValue, version: other.version, isFirst: otherIsFirst))
            }
            self.secrets = secrets
        }

        var text: String {
            var table = TextTable("SECRET", "VERSION", "TRIED")
            for (index, secret) in secrets.sorted(by: { $0.isFirst && !$1.isFirst }).enumerated() {
                table.add(secret.role, String(secret.version), index == 0 ? "first" : "second")
            }
            return (["\(id)  \(provider), client \(clientId)", table.text] + warnings.map { "warning: \($0)" })
                .joined(separator: "\n")
        }
    }

    struct Target: ParsableArguments {
        @Argument(help: "The integration, for example slack.")
        var integration: String
        @Option(name: .long, help: "The environment; needed when there are several.")
        var environment: String?
    }

    /// Finds the app, does `change`, prints what stands now.
    static func run(
        _ options: ConfigurationOptions, _ output: OutputOptions, _ target: Target,
        _ change: (ClientSecretRotation, OAuthAppRecord) async throws -> OAuthAppRecord
    ) async throws {
        try await Tool.runSealing(options) { parts in
            let environment = try await Tool.environment(target.environment, in: parts.pool)
            let rotation = ClientSecretRotation(parts.lifecycle)
            let app = try await rotation.app(
                integration: try parts.lifecycle.catalog.integration(named: target.integration),
                environmentID: environment.id)
            let row = Row(try await change(rotation, app), warnings: rotation.warnings(app))
            try output.print(row, text: row.text)
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show which secrets there are, never their text.")
        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var target: Target

        func run() async throws { try await SecretsCommand.run(options, output, target) { $1 } }
    }

    struct Next: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Read the next secret from standard input and try it beside the current one.")
        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var target: Target

        func run() async throws {
            let bytes = try FileHandle.standardInput.read(upToCount: 16 * 1024) ?? Data()
            let text = String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
            try await SecretsCommand.run(options, output, target) { rotation, app in
                try await rotation.setNext(Secret(text), app: app, actor: "cli")
            }
        }
    }

    struct Promote: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make the next secret the current one; the one before is still tried second.")
        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var target: Target

        func run() async throws {
            try await SecretsCommand.run(options, output, target) { try await $0.promote(app: $1, actor: "cli") }
        }
    }

    struct Retire: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Destroy the secret beside the current one.")
        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var target: Target

        func run() async throws {
            try await SecretsCommand.run(options, output, target) { try await $0.retire(app: $1, actor: "cli") }
        }
    }
}
