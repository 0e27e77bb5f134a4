/// Where the database is and how a pool uses it.
package struct PostgresConfiguration: Sendable {
    /// A `postgres://` URI or a libpq connection string, with every option libpq knows: TLS modes, host lists,
    /// `target_session_attrs` (PostgreSQL manual, "Database Connection Control Functions"). May hold a password.
    package var url: String
    /// The most connections a pool opens; each has a thread of its own.
    package var maximumConnections = 8
    /// How long a caller waits for a free connection before `poolExhausted`.
    package var acquireTimeout: Duration = .seconds(10)
    /// How long connecting to one host may take. The system's name lookup is not interrupted by it.
    package var connectTimeout: Duration = .seconds(5)
    /// How long a statement may run when its caller gives no limit; the server is then told to cancel it.
    package var statementTimeout: Duration = .seconds(30)
    /// False behind a pooler in transaction mode (PgBouncer): nothing is prepared, and `settings` are not sent, for they
    /// would reach other clients of that pooler; use `ALTER ROLE … SET` there.
    package var preparesStatements = true
    /// Shown in `pg_stat_activity`; an `application_name` in the URL wins.
    package var applicationName = "evergrant"
    /// Session settings made after every connect, such as `["lock_timeout": "2s"]`.
    package var settings: [String: String] = [:]
    /// A direct connection for `LISTEN` when `url` leads to a pooler; default `url`.
    package var listenURL: String?

    package init(url: String) { self.url = url }
}

extension PostgresConfiguration: CustomStringConvertible {
    /// Without the URLs, which may hold passwords.
    package var description: String {
        "PostgresConfiguration(application \(applicationName), \(maximumConnections) connections at most)"
    }
}
