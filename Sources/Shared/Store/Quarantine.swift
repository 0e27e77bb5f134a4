import Foundation
import Postgres

/// The quarantine of an OAuth app whose provider refuses the app itself, as the app's own row and the operator's events
/// show it: its refreshes pause, the operator is told once, users hear nothing. What begins and ends it: Lifecycle's
/// `HostHealth`.
package enum Quarantine {
    /// Suspends the app and writes `oauth_app.suspended`, once.
    /// - Parameter reason: the provider's error code, redacted.
    package static func begin(appID: Int64, reason: String, in db: any PostgresQuerying) async throws -> Bool {
        try await db.execute(beginStatement, [.int8(appID), .text(reason)]).first != nil
    }

    /// Ends the suspension and writes `oauth_app.resumed`, once.
    package static func end(appID: Int64, in db: any PostgresQuerying) async throws -> Bool {
        try await db.execute(endStatement, [.int8(appID)]).first != nil
    }

    private static let document = """
        jsonb_build_object('oauth_app', jsonb_build_object('id', c.uid, 'provider', c.provider,
            'client_id', c.client_id, 'reason', c.suspended_reason,
            'suspended_at', evergrant.rfc3339(c.suspended_at)))
        """

    /// Index: primary key.
    static let beginStatement = PostgresStatement(
        "begin_quarantine",
        """
        with c as (
            update evergrant.oauth_apps set suspended_at = now(), suspended_reason = $2
            where id = $1 and suspended_at is null returning *)
        insert into evergrant.events (environment_id, type, payload)
        select c.environment_id, 'oauth_app.suspended', \(document) from c returning id
        """)

    /// Index: primary key. The lock on the row before makes of two who end it one.
    static let endStatement = PostgresStatement(
        "end_quarantine",
        """
        with c as materialized (select * from evergrant.oauth_apps where id = $1 and suspended_at is not null for update),
        ended as (
            update evergrant.oauth_apps a set suspended_at = null, suspended_reason = null, probe_due_at = null
            from c where a.id = c.id)
        insert into evergrant.events (environment_id, type, payload)
        select c.environment_id, 'oauth_app.resumed', \(document) from c returning id
        """)
}
