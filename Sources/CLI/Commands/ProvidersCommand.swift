import ArgumentParser
import Bootstrap
import Credentials
import Foundation
import Lifecycle
import Postgres
import Store

struct ProvidersCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "providers", abstract: "Show troubles of providers and what is done about them; end them.",
        discussion: """
            A breaker is open while a token endpoint does not answer; an OAuth app is suspended while its provider \
            refuses the app itself; verdicts are held while many connections are refused at once. Example: \
            evergrant providers release --oauth-app app_0123… --environment live
            """,
        subcommands: [Health.self, Unclassified.self, Release.self], defaultSubcommand: Health.self)

    struct Health: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List token endpoints that have or had trouble, those in trouble first.")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @Option(name: .long, help: "Only this environment; all without it.")
        var environment: String?

        func run() async throws {
            try await Tool.run(options) { pool, _ in
                var rows: [EndpointRow] = []
                for environment in try await ProvidersCommand.environments(environment, in: pool) {
                    rows += try await EndpointReports.list(environmentID: environment.id, in: pool)
                        .map { EndpointRow($0, environment: environment.name) }
                }
                var table = TextTable(
                    "ENVIRONMENT", "PROVIDER", "OAUTH APP", "HOST", "BREAKER", "APP", "WAVE", "HELD", "NEXT PROBE",
                    "LAST TROUBLE")
                for row in rows {
                    table.add(
                        row.environment, row.provider, row.oauthApp, row.host ?? "(all)", row.breakerText, row.appText,
                        row.waveUntil.map { "held until \($0.tableText)" } ?? "–", "\(row.verdictsHeld)",
                        row.nextProbeAt?.tableText ?? "–", row.troubleText)
                }
                try output.print(rows, text: rows.isEmpty ? "no provider has had trouble" : table.text)
            }
        }
    }

    struct Unclassified: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List answers that no rule of the catalog knows, redacted, newest first.",
            discussion: "A rule for them is a line in the provider's file: docs/catalog.md, verdicts.")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @Option(name: .long, help: "Only this environment; all without it.")
        var environment: String?

        struct Row: Encodable {
            let environment, provider, oauthApp, host: String
            let status: Int
            let code, sample, requestID: String?
            let seen: Int
            let firstAt, lastAt: Date
        }

        func run() async throws {
            try await Tool.run(options) { pool, _ in
                var rows: [Row] = []
                for environment in try await ProvidersCommand.environments(environment, in: pool) {
                    rows += try await UnclassifiedAnswers.list(environmentID: environment.id, in: pool).map { found in
                        Row(
                            environment: environment.name, provider: found.provider, oauthApp: found.appUID,
                            host: found.host, status: found.answer.status, code: found.answer.code,
                            sample: found.answer.sample, requestID: found.answer.requestID, seen: found.answer.seen,
                            firstAt: found.firstAt, lastAt: found.lastAt)
                    }
                }
                var table = TextTable("ENVIRONMENT", "PROVIDER", "HOST", "SEEN", "LAST", "STATUS", "CODE", "WORDS")
                for row in rows {
                    table.add(
                        row.environment, row.provider, row.host, "\(row.seen)", row.lastAt.tableText, "\(row.status)",
                        row.code ?? "–", row.sample ?? "–")
                }
                try output.print(rows, text: rows.isEmpty ? "every answer was understood" : table.text)
            }
        }
    }

    struct Release: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "End breaker, quarantine, wave and blocks of an OAuth app now; who waited comes back.",
            discussion: "What is still wrong is found out again. Held verdicts are tested, and a refusal then counts.")

        @OptionGroup var options: ConfigurationOptions
        @OptionGroup var output: OutputOptions
        @Option(name: .customLong("oauth-app"), help: "The OAuth app's id, app_…")
        var oauthApp: String
        @Option(name: .long, help: "One of its token endpoints, as evergrant providers shows it; all without it.")
        var host: String?
        @Option(name: .long, help: "Its environment; needed when there are several.")
        var environment: String?

        func run() async throws {
            let settings = try options.load(needs: .database).timings.health
            try await Tool.run(options) { pool, logger in
                let environment = try await Tool.environment(environment, in: pool)
                let released = try await HealthRelease(pool: pool, settings: settings, logger: logger)
                    .release(environmentID: environment.id, appUID: oauthApp, host: host)
                guard released > 0 else {
                    throw InvalidValue(
                        item: "OAuth app \(oauthApp)",
                        problem: "has had no trouble\(host.map { " at \($0)" } ?? "") in \(environment.name)",
                        repair: "see what there is: evergrant providers --environment \(environment.name)")
                }
                try output.print(
                    ["released": released], text: "released \(released) endpoint\(released == 1 ? "" : "s")")
            }
        }
    }

    fileprivate static func environments(_ name: String?, in pool: PostgresPool) async throws -> [EnvironmentRecord] {
        try await name == nil ? Environments.list(in: pool) : [Tool.environment(name, in: pool)]
    }

    /// A token endpoint as it is shown.
    struct EndpointRow: Encodable {
        let environment, provider, oauthApp, clientID, breaker: String
        let host, isolatedFault, lastTrouble: String?
        let breakerSince, blockedUntil, quarantinedAt, waveSince, waveUntil, nextProbeAt, lastTroubleAt: Date?
        let verdictsHeld: Int
        let needsAttention: Bool

        init(_ report: EndpointReport, environment: String) {
            self.environment = environment
            provider = report.provider
            oauthApp = report.appUID
            clientID = report.clientID
            host = report.host.isEmpty ? nil : report.host
            breaker = report.breaker.rawValue
            breakerSince = report.breakerSince
            blockedUntil = report.blockedUntil
            quarantinedAt = report.quarantinedAt
            isolatedFault = report.isolatedFault
            waveSince = report.waveSince
            waveUntil = report.waveUntil
            verdictsHeld = report.held
            nextProbeAt = report.nextProbeAt
            lastTrouble = report.lastTrouble
            lastTroubleAt = report.lastTroubleAt
            needsAttention = report.needsAttention
        }

        var breakerText: String {
            if let blockedUntil { return "blocked until \(blockedUntil.tableText)" }
            return breakerSince.map { "\(breaker.replacing("_", with: " ")) since \($0.tableText)" } ?? breaker
        }

        var appText: String {
            if let quarantinedAt { return "refused since \(quarantinedAt.tableText): needs attention" }
            return isolatedFault == nil ? "accepted" : "refused at one account"
        }

        var troubleText: String {
            guard let lastTrouble, let lastTroubleAt else { return "–" }
            return "\(lastTroubleAt.tableText) \(lastTrouble)"
        }
    }
}
