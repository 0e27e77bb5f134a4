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

/// Runs `body` with a database that has the whole schema and nothing in it, which nobody else uses meanwhile.
///
/// A few databases serve all tests, each emptied for the next, because making one takes longer than most tests; so only
/// as many tests as there are databases run at once. One whose test failed is dropped with whatever that test left.
package func withMigratedDatabase<T: Sendable>(
    isolation: isolated (any Actor)? = #isolation, _ body: (TestDatabase) async throws -> T
) async throws -> T {
    let database = try await MigratedDatabases.shared.take()
    do {
        let result = try await body(database)
        await MigratedDatabases.shared.empty(database)
        return result
    } catch {
        // The test's own error says more than one of the clean-up.
        await MigratedDatabases.shared.discard(database)
        throw error
    }
}

/// The databases that serve the tests in turn.
private actor MigratedDatabases {
    static let shared = MigratedDatabases()
    private static let limit = 6

    private var free: [TestDatabase] = []
    private var made = 0
    private var waiting: [CheckedContinuation<TestDatabase?, Never>] = []

    func take() async throws -> TestDatabase {
        while true {
            if let database = free.popLast() { return database }
            if made < Self.limit {
                made += 1
                do {
                    return try await TestDatabase.makeMigrated()
                } catch {
                    made -= 1
                    waiting.popLast()?.resume(returning: nil)
                    throw error
                }
            }
            if let database = await withCheckedContinuation({ waiting.append($0) }) { return database }
        }
    }

    /// Ends every session, deletes every row, and hands it to the next.
    func empty(_ used: TestDatabase) async {
        let database = await used.reused()
        do {
            let pool = database.pool { $0.maximumConnections = 1 }
            try await pool.executeScript(PostgresStatement("empty test database", Self.emptying))
            give(await database.reused())
        } catch {
            await discard(database)
        }
    }

    func discard(_ database: TestDatabase) async {
        try? await database.drop()
        made -= 1
        if !waiting.isEmpty { waiting.removeFirst().resume(returning: nil) }
    }

    private func give(_ database: TestDatabase) {
        if waiting.isEmpty { free.append(database) } else { waiting.removeFirst().resume(returning: database) }
    }

    private static let emptying = """
        select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid();
        delete from evergrant.jobs_finished;
        do $$
        declare tables text;
        begin
            select string_agg(format('evergrant.%I', c.relname), ', ') into tables
            from pg_class c join pg_namespace n on n.oid = c.relnamespace
            where n.nspname = 'evergrant' and c.relkind = 'r' and not c.relispartition
                and c.relname <> 'schema_migrations';
            execute 'truncate ' || tables || ' restart identity';
        end $$;
        """
}
