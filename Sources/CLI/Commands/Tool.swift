import Bootstrap
import Credentials
import Logging
import Postgres
import Schema
import Store

/// What an operator's command works with: a small pool to a database whose schema is this binary's.
enum Tool {
    /// Runs `body` with a pool and closes it.
    /// - Parameter checksSchema: false for commands that bring the schema up to date, or look at it.
    static func run<T: Sendable>(
        _ options: ConfigurationOptions, checksSchema: Bool = true,
        _ body: (PostgresPool, Logger) async throws -> T
    ) async throws -> T {
        var configuration = try options.load(needs: .database)
        if options.logLevel == nil { configuration.log.level = .warning }
        let logger = configuration.log.bootstrap(label: "evergrant")
        var postgres = try configuration.database.postgres(.tool)
        postgres.maximumConnections = 2
        let pool = PostgresPool(postgres, logger: logger)
        do {
            if checksSchema { try await SchemaMigrator(pool: pool, logger: logger).check() }
            let result = try await body(pool, logger)
            await pool.close()
            return result
        } catch {
            await pool.close()
            throw error
        }
    }

    /// The same for commands that open or seal secrets: with the keyring, the catalog and a way out to providers.
    static func runSealing<T: Sendable>(
        _ options: ConfigurationOptions, _ body: (ProcessServices) async throws -> T
    ) async throws -> T {
        var configuration = try options.load(needs: [.database, .keyring])
        if options.logLevel == nil { configuration.log.level = .warning }
        let logger = configuration.log.bootstrap(label: "evergrant")
        let parts = try await ProcessServices.assemble(
            configuration, role: .tool, metrics: MetricsRegistry(), logger: logger)
        do {
            let result = try await body(parts)
            await parts.close()
            return result
        } catch {
            await parts.close()
            throw error
        }
    }

    /// The environment named, or the only one there is.
    /// - Throws: ``InvalidValue`` that lists the names.
    static func environment(_ name: String?, in pool: PostgresPool) async throws -> EnvironmentRecord {
        let all = try await Environments.list(in: pool)
        if let name {
            if let found = all.first(where: { $0.name == name }) { return found }
        } else if all.count == 1, let only = all.first {
            return only
        }
        let names = all.map(\.name).joined(separator: ", ")
        throw InvalidValue(
            item: "environment",
            problem: name.map { "\($0) does not exist" } ?? "is not named, and there are \(all.count)",
            repair: all.isEmpty
                ? "make one: evergrant apikeys create --environment test --create-environment test"
                : "give --environment with one of: \(names)")
    }
}
