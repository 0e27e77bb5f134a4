import Postgres

/// The statements of migrating. None takes a lock beyond its rows but `lock`.
enum Statements {
    /// One migrator at a time; freed by the end of the transaction, so it works through a transaction pooler.
    static let lock = PostgresStatement("lock migrations", "select pg_advisory_xact_lock(7311032551970213973)")

    /// Whether there is anything to read versions from.
    static let exists = PostgresStatement(
        "find migrations", "select to_regclass('evergrant.schema_migrations') is not null")

    static let schemaExists = PostgresStatement("find schema", "select to_regnamespace('evergrant') is not null")

    static let createSchema = PostgresStatement("create schema", "create schema evergrant")

    static let createTable = PostgresStatement(
        "create migrations",
        """
        create table if not exists evergrant.schema_migrations (
            version int primary key,
            name text not null,
            checksum text not null,
            applied_at timestamptz not null default now()
        )
        """)

    /// By primary key, whole table.
    static let applied = PostgresStatement(
        "list migrations", "select version, name, checksum from evergrant.schema_migrations order by version")

    static let record = PostgresStatement(
        "record migration", "insert into evergrant.schema_migrations (version, name, checksum) values ($1, $2, $3)")
}
