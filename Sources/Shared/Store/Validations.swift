import Credentials
import Foundation
import Pacing
import Postgres

/// What a probe found. A probe spends nothing and takes no mark; what it writes is fenced by grant and generation.
package enum Validations {
    /// The credential works: a `degraded` or `suspected` connection without a refresh token becomes active again.
    /// - Parameter scopes: as granted now, where the probe tells them; a shortfall is recorded, or cleared.
    package static func recordAlive(
        connectionID: Int64, grantID: UUID, generation: Int64, nextIn: Duration?, heals: Bool,
        scopes: [String]? = nil, in db: any PostgresQuerying
    ) async throws {
        try await db.execute(
            aliveStatement,
            [
                .int8(connectionID), .uuid(grantID), .int8(generation), .optional(nextIn?.seconds) { .float8($0) },
                .bool(heals), .optional(scopes) { .textArray($0) },
            ])
    }

    /// The credential was refused, or the provider had trouble: state, reason and the next probe.
    /// - Returns: false when the grant or generation has moved.
    package static func record(
        connectionID: Int64, grantID: UUID, generation: Int64, state: ConnectionState, reason: ConnectionReason,
        nextIn: Duration?, in db: any PostgresQuerying
    ) async throws -> Bool {
        try await db.execute(
            troubleStatement,
            [
                .int8(connectionID), .uuid(grantID), .int8(generation), .text(state.rawValue), .text(reason.rawValue),
                .optional(nextIn?.seconds) { .float8($0) },
            ]
        ).first != nil
    }

    /// Claims connections whose probe is due.
    package static func claimDue(limit: Int, claim: Duration, in db: any PostgresQuerying) async throws
        -> [(id: Int64, environmentID: Int64)]
    {
        try await db.execute(claimStatement, [.int4(Int32(limit)), .float8(claim.seconds)]).map { row in
            let (id, environment) = try row.decode(Int64.self, Int64.self)
            return (id, environment)
        }
    }

    /// The sealed token set of a connection as it stands, with what a probe needs.
    package static func current(connectionID: Int64, in db: any PostgresQuerying) async throws -> [UInt8]? {
        try await db.execute(currentStatement, [.int8(connectionID)]).first?.decode([UInt8].self)
    }

    private static let aliveStatement = PostgresStatement(
        "record_alive",
        """
        update evergrant.connections set last_validated_at = now(), uninstalled_at = null,
            granted_scopes = coalesce($6, granted_scopes),
            validate_due_at = now() + make_interval(secs => $4),
            state = case when $5 and state in ('degraded', 'suspected', 'broken') then 'active' else state end,
            reason = case when $5 and state in ('degraded', 'suspected', 'broken') then null else reason end,
            failures = case when $5 then 0 else failures end,
            retest_at = case when $5 then null else retest_at end,
            next_attempt_at = case when $5 then null else next_attempt_at end
        where id = $1 and grant_id = $2 and generation = $3
            and state in ('active', 'degraded', 'suspected', 'broken')
        """)

    /// What a probe met holds back no refresh: where one is planned, its next attempt stays.
    private static let troubleStatement = PostgresStatement(
        "record_probe_trouble",
        """
        update evergrant.connections set state = $4, reason = $5, failures = failures + 1,
            validate_due_at = now() + make_interval(secs => $6),
            next_attempt_at = case when refresh_due_at is null then now() + make_interval(secs => $6)
                else next_attempt_at end,
            retest_at = case when $4 = 'suspected' then now() + make_interval(secs => $6) end
        where id = $1 and grant_id = $2 and generation = $3 and state in ('active', 'degraded', 'suspected')
        returning id
        """)

    /// Index: connections_validate_due.
    private static let claimStatement = PostgresStatement(
        "claim_due_validations",
        """
        with due as (
            select id from evergrant.connections
            where state in ('active', 'degraded', 'suspected') and validate_due_at is not null
                and validate_due_at <= now()
            order by validate_due_at limit $1 for update skip locked)
        update evergrant.connections c set validate_due_at = now() + make_interval(secs => $2) from due
        where c.id = due.id returning c.id, c.environment_id
        """)

    /// Index: primary keys. The join sees the token set of the row's own generation only.
    private static let currentStatement = PostgresStatement(
        "find_current_credential",
        """
        select k.sealed from evergrant.connections c join evergrant.credentials k
            on k.connection_id = c.id and k.generation = c.generation and k.grant_id = c.grant_id
        where c.id = $1
        """)
}
