import ArgumentParser
import Bootstrap
import Logging
import Postgres
import Schema

struct MigrateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "migrate", abstract: "Bring the database to this binary's schema.",
        discussion: """
            Any number may run at once; each migration is one transaction. The version before goes on working \
            meanwhile.
            """)

    @OptionGroup var options: ConfigurationOptions
    @OptionGroup var output: OutputOptions

    @Flag(name: .long, help: "Print the SQL that would run, and change nothing.")
    var dryRun = false

    @Flag(
        name: .long,
        help: "Then make the roles evergrant_owner, evergrant_service and evergrant_app and give them their rights.")
    var roles = false

    func run() async throws {
        try await Tool.run(options, checksSchema: false) { pool, logger in
            let migrator = try SchemaMigrator(pool: pool, logger: logger)
            if dryRun {
                let script = try await migrator.script()
                print(script.isEmpty ? "-- nothing to do" : script)
                if roles { print(try SchemaRoles().script()) }
                return
            }
            let applied = try await migrator.migrate()
            if roles { try await SchemaRoles().apply(to: pool) }
            struct Result: Encodable {
                let applied: [String]
                let version: Int
                let roles: Bool
            }
            let version = migrator.migrations.last?.version ?? 0
            let names = applied.map { "\($0.version) \($0.name)" }
            try output.print(
                Result(applied: names, version: version, roles: roles),
                text: (names.isEmpty ? ["nothing to do"] : names.map { "applied \($0)" })
                    .joined(separator: "\n") + "\nthe database has schema version \(version)"
                    + (roles ? "; roles are set" : ""))
        }
    }
}
