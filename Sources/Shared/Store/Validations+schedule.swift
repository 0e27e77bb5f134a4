import Foundation
import Pacing
import Postgres

extension Validations {
    /// What this environment set for its integration: zero for no probes; nil when it set nothing.
    package static func interval(
        environmentID: Int64, integration: String, in db: any PostgresQuerying
    ) async throws -> Duration? {
        let seconds = try await db.execute(intervalStatement, [.int8(environmentID), .text(integration)])
            .first?.decode(Int64?.self)
        return seconds.flatMap { $0 }.map { .seconds($0) }
    }

    /// Sets it, and moves the next probe of each connection into it.
    /// - Parameters:
    ///   - every: at least 60 s, zero for no probes; nil: the catalog's, else the installation's.
    ///   - standard: what holds with nil.
    package static func setInterval(
        environmentID: Int64, integration: String, every: Duration?, standard: Duration?, in db: any PostgresQuerying
    ) async throws {
        let seconds = every.map { Int64($0.seconds) }
        try await db.execute(
            setStatement, [.int8(environmentID), .text(integration), .optional(seconds) { .int8($0) }])
        let effective = every ?? standard
        try await db.execute(
            respreadStatement,
            [
                .int8(environmentID), .text(integration),
                .optional(effective == .zero ? nil : effective?.seconds) { .float8($0) },
            ])
    }

    /// Makes a probe due now, because a call was refused: at most one in `gap`, and none where one is due already.
    package static func hasten(
        connectionID: Int64, gap: Duration, in db: any PostgresQuerying
    ) async throws {
        try await db.execute(hastenStatement, [.int8(connectionID), .float8(gap.seconds)])
    }

    /// Leaves the connection as it is; the next probe is due in so long (nil: none).
    package static func postpone(
        connectionID: Int64, generation: Int64, nextIn: Duration?, in db: any PostgresQuerying
    ) async throws {
        try await db.execute(
            postponeStatement,
            [.int8(connectionID), .int8(generation), .optional(nextIn?.seconds) { .float8($0) }])
    }

    /// Breaks a connection that a probe, or the refresh before it, has just found refused, because a signal had said for
    /// certain that the app was uninstalled after this grant was made.
    /// - Returns: whether it was so.
    package static func confirmUninstalled(connectionID: Int64, in db: any PostgresQuerying) async throws -> Bool {
        try await db.execute(confirmStatement, [.int8(connectionID)]).first != nil
    }

    private static let intervalStatement = PostgresStatement(
        "find_validation_interval",
        "select validate_seconds from evergrant.integrations where environment_id = $1 and integration = $2")

    private static let setStatement = PostgresStatement(
        "set_validation_interval",
        """
        update evergrant.integrations set validate_seconds = $3, updated_at = now()
        where environment_id = $1 and integration = $2
        """)

    /// Reads the environment's connections, once a change of the setting.
    private static let respreadStatement = PostgresStatement(
        "respread_validations",
        """
        update evergrant.connections set
            validate_due_at = now() + make_interval(secs => $3::float8 * (0.05 + 0.95 * random()))
        where environment_id = $1 and integration = $2 and state in ('active', 'degraded', 'suspected')
            and (($3::float8 is null and validate_due_at is not null) or validate_due_at is null
                or validate_due_at > now() + make_interval(secs => $3::float8))
        """)

    private static let hastenStatement = PostgresStatement(
        "hasten_validation",
        """
        update evergrant.connections set validate_due_at = now(), validation_asked_at = now()
        where id = $1 and state in ('active', 'degraded') and (validate_due_at is null or validate_due_at > now())
            and (validation_asked_at is null or validation_asked_at < now() - make_interval(secs => $2))
        """)

    private static let postponeStatement = PostgresStatement(
        "postpone_validation",
        """
        update evergrant.connections set validate_due_at = now() + make_interval(secs => $3)
        where id = $1 and generation = $2 and state in ('active', 'degraded', 'suspected')
        """)

    private static let confirmStatement = PostgresStatement(
        "confirm_uninstalled",
        """
        update evergrant.connections set state = 'broken', reason = 'revoked_at_provider', uninstalled_at = null,
            refresh_due_at = null, retest_at = null, next_attempt_at = null
        where id = $1 and state = 'suspected' and attempt_nonce is null and uninstalled_at > granted_at
        returning id
        """)
}
