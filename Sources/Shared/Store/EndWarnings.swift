import Foundation
import Pacing
import Postgres

/// Tells apps ahead of an end that refreshing cannot move: the event `connection.expiring`.
///
/// It is no transition: state and version stay. Once for each warning and end: the row keeps which end was warned of and
/// when the next warning is due, both changed in the event's own statement.
package enum EndWarnings {
    /// Tells the warnings that are due. Any number may run at once.
    /// - Parameter before: as `PlanningRules.warnBefore`.
    /// - Returns: rows looked at.
    package static func tell(before: [Duration], limit: Int, in db: any PostgresQuerying) async throws -> Int {
        try await db.execute(
            tellStatement, [.int4(Int32(clamping: limit)), .float8Array(before.map(\.seconds))]
        ).first?.decode(Int.self) ?? 0
    }

    /// Index: connections_warn_due. A warning whose time has passed while nobody looked is told once, as the nearest.
    private static let tellStatement = PostgresStatement(
        "tell_ends",
        """
        with due as materialized (
            select id, ends_at from evergrant.connections
            where state in ('active', 'degraded', 'suspected') and warn_due_at is not null and warn_due_at <= now()
            order by warn_due_at limit $1 for update skip locked),
        told as (
            update evergrant.connections c set warned_end = d.ends_at,
                warn_due_at = (
                    select d.ends_at - make_interval(secs => w) from unnest($2::float8[]) w
                    where d.ends_at - make_interval(secs => w) > now() order by w desc limit 1)
            from due d where c.id = d.id
            returning c.id, c.environment_id, c.ends_at, evergrant.connection_document(c) as document),
        written as (
            insert into evergrant.events (environment_id, type, connection_id, payload)
            select t.environment_id, 'connection.expiring', t.id, jsonb_build_object(
                'connection', t.document, 'ends_at', evergrant.rfc3339(t.ends_at),
                'seconds_left', floor(extract(epoch from t.ends_at - now()))::bigint,
                'reconnect', jsonb_build_object(
                    'method', 'POST', 'path', '/v1/connections/' || (t.document ->> 'id') || '/reconnect'))
            from told t where t.ends_at > now())
        select count(*) from due
        """)
}
