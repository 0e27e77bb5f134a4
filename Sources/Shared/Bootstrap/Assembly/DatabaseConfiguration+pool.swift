import Credentials
import Logging
import Postgres
import Queue

extension DatabaseConfiguration {
    /// The pool's configuration of a process in that role.
    /// - Throws: ``ConfigurationError`` when no address was given.
    package func postgres(_ role: ProcessRole) throws(ConfigurationError) -> PostgresConfiguration {
        guard let url else {
            throw ConfigurationError(faults: [
                ConfigurationFault(
                    place: Self.urlSetting.name, problem: "is missing",
                    repair: "set EVERGRANT_DATABASE_URL, for example postgres://evergrant@127.0.0.1/app")
            ])
        }
        var postgres = PostgresConfiguration(url: url.revealedText())
        postgres.maximumConnections = maximumConnections
        postgres.acquireTimeout = acquireTimeout
        postgres.connectTimeout = connectTimeout
        postgres.statementTimeout = statementTimeout
        postgres.preparesStatements = preparesStatements
        postgres.applicationName = "evergrant-\(role.rawValue)"
        postgres.listenURL = listenURL?.revealedText()
        return postgres
    }

    /// Whether notifications can be heard: not through a pooler in transaction mode.
    package var canListen: Bool { preparesStatements || listenURL != nil }

    /// The same for a job runner, whose sessions keep the plans of the queue's statements right. A runner has few
    /// statements in flight at once: it claims and settles in batches.
    package func queuePostgres(_ role: ProcessRole) throws(ConfigurationError) -> PostgresConfiguration {
        var postgres = try postgres(role)
        postgres.maximumConnections = min(6, maximumConnections)
        postgres.settings = JobQueue.sessionSettings
        return postgres
    }
}
