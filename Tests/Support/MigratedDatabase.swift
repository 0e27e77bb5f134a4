import Logging
import Postgres
import Schema

extension TestDatabase {
    /// A new database with this binary's whole schema; `drop` it at the end, or use `withMigratedDatabase`.
    package static func makeMigrated() async throws -> TestDatabase {
        let template = await registerTemplate("migrated") { url in
            let logger = Logger(label: "test-schema") { _ in SwiftLogNoOpLogHandler() }
            var configuration = PostgresConfiguration(url: url)
            configuration.maximumConnections = 1
            let pool = PostgresPool(configuration, logger: logger)
            do {
                try await SchemaMigrator(pool: pool, logger: logger).migrate()
            } catch {
                await pool.close()
                throw error
            }
            await pool.close()
        }
        return try await make(template: template)
    }
}

/// Runs `body` with a new database that has the whole schema, and drops that afterwards.
package func withMigratedDatabase<T: Sendable>(
    isolation: isolated (any Actor)? = #isolation, _ body: (TestDatabase) async throws -> T
) async throws -> T {
    let database = try await TestDatabase.makeMigrated()
    do {
        let result = try await body(database)
        try await database.drop()
        return result
    } catch {
        // The test's own error says more than one of the clean-up.
        try? await database.drop()
        throw error
    }
}
