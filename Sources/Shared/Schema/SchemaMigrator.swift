import Logging
import Postgres

/// Brings a database to this binary's schema, and tells whether it is there.
///
/// Every migration runs in a transaction of its own under an advisory lock of that transaction, and looks again at what
/// is applied once it has the lock: any number of migrators may run at once, also through a pooler in transaction mode.
package struct SchemaMigrator: Sendable {
    private let pool: PostgresPool
    private let logger: Logger
    package let migrations: [Migration]

    /// `migrations` default to those this binary carries. Throws `SchemaError`.
    package init(pool: PostgresPool, migrations: [Migration]? = nil, logger: Logger) throws {
        self.pool = pool
        self.logger = logger
        self.migrations = try migrations ?? Migration.bundled()
    }

    /// What `migrate` would apply, in order. Throws `SchemaError` when an applied migration was edited or the database is
    /// newer, `PostgresError` when the database cannot be read.
    package func pending() async throws -> [Migration] {
        let applied = try await appliedVersions(in: pool)
        try verify(applied)
        return migrations.filter { migration in !applied.contains { $0.version == migration.version } }
    }

    /// Applies what is pending and returns it. A migration that fails leaves nothing behind; those before it stay.
    @discardableResult
    package func migrate() async throws -> [Migration] {
        var done: [Migration] = []
        for migration in migrations where try await apply(migration) {
            logger.info(
                "migration applied",
                metadata: ["version": "\(migration.version)", "migration": "\(migration.name)"])
            done.append(migration)
        }
        return done
    }

    /// The SQL text of what is pending, as `migrate` would run it; empty when there is nothing to do.
    package func script() async throws -> String {
        let pending = try await pending()
        guard !pending.isEmpty else { return "" }
        var text = "create schema if not exists evergrant;\n\(Statements.createTable.sql);\n"
        for migration in pending {
            text += """

                -- migration \(migration.version): \(migration.name)
                begin;
                \(migration.sql)
                insert into evergrant.schema_migrations (version, name, checksum)
                values (\(migration.version), '\(migration.name)', '\(migration.checksum)');
                commit;

                """
        }
        return text
    }

    /// Passes when the database has exactly this binary's schema; every process calls it at start. Throws `SchemaError`
    /// that says what to run.
    package func check() async throws {
        let pending = try await pending()
        guard let first = pending.first else { return }
        throw SchemaError(
            .outdated,
            pending.count == migrations.count
                ? "the database has no Evergrant schema; run `evergrant migrate`"
                : "the database lacks \(pending.count) migration(s), from \(first.version) (\(first.name)) on; "
                    + "run `evergrant migrate` of this binary")
    }

    private typealias Applied = (version: Int, name: String, checksum: String)

    private func appliedVersions(in database: some PostgresQuerying) async throws -> [Applied] {
        guard let found = try await database.execute(Statements.exists).first, try found.decode(Bool.self) else {
            return []
        }
        return try await database.execute(Statements.applied).map { row in
            let (version, name, checksum) = try row.decode(Int.self, String.self, String.self)
            return (version, name, checksum)
        }
    }

    private func verify(_ applied: [Applied]) throws {
        for (version, name, checksum) in applied {
            guard let known = migrations.first(where: { $0.version == version }) else {
                throw SchemaError(
                    .newer,
                    "the database has migration \(version) (\(name)), this binary knows those up to "
                        + "\(migrations.last?.version ?? 0): run the binary that migrated it, or a newer one")
            }
            guard known.checksum == checksum else {
                throw SchemaError(
                    .altered,
                    "migration \(version) (\(name)) was edited after it was applied: its checksum is \(known.checksum), "
                        + "the database has \(checksum); restore the file and make the change a new migration")
            }
        }
    }

    /// Applies one migration unless it is there already; whether it did.
    private func apply(_ migration: Migration) async throws -> Bool {
        try await pool.transaction { transaction in
            try await transaction.execute(Statements.lock, [], timeout: .seconds(600))
            if try await transaction.execute(Statements.schemaExists).value(Bool.self) != true {
                try await transaction.execute(Statements.createSchema)
            }
            if try await transaction.execute(Statements.exists).value(Bool.self) != true {
                try await transaction.execute(Statements.createTable)
            }
            let applied = try await appliedVersions(in: transaction)
            try verify(applied)
            guard !applied.contains(where: { $0.version == migration.version }) else { return false }
            try await transaction.executeScript(
                PostgresStatement("migration \(migration.version) \(migration.name)", migration.sql),
                timeout: .seconds(3600))
            try await transaction.execute(
                Statements.record,
                [.int4(Int32(migration.version)), .text(migration.name), .text(migration.checksum)])
            return true
        }
    }
}
