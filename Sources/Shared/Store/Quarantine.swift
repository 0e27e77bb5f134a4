import Foundation
import Pacing
import Postgres

/// The quarantine of an OAuth app whose provider refuses the app itself: its refreshes pause, the operator is told
/// once, users hear nothing. One attempt a minute finds out whether it is over.
package enum Quarantine {
    /// Suspends the app and writes `oauth_app.suspended`, once.
    /// - Parameter reason: the provider's error code, redacted.
    package static func begin(
        appID: Int64, reason: String, probeIn: Duration, in db: any PostgresQuerying
    ) async throws -> Bool {
        try await db.execute(beginStatement, [.int8(appID), .text(reason), .float8(probeIn.seconds)]).first != nil
    }

    /// Claims the next probe of a suspended app: true for one caller a period.
    package static func claimProbe(appID: Int64, period: Duration, in db: any PostgresQuerying) async throws -> Bool {
        try await db.execute(claimStatement, [.int8(appID), .float8(period.seconds)]).first != nil
    }

    /// Ends the quarantine, writes `oauth_app.resumed`, and makes the waiting connections due, spread over `over`.
    package static func end(appID: Int64, over: Duration, in db: any PostgresQuerying) async throws {
        if try await db.execute(endStatement, [.int8(appID)]).first != nil {
            try await db.execute(releaseStatement, [.int8(appID), .float8(over.seconds)])
        }
    }

    private static let document = """
        jsonb_build_object('oauth_app', jsonb_build_object('id', c.uid, 'provider', c.provider,
            'client_id', c.client_id, 'reason', c.suspended_reason,
            'suspended_at', evergrant.rfc3339(c.suspended_at)))
        """

    private static let beginStatement = PostgresStatement(
        "begin_quarantine",
        """
        with c as (
            update evergrant.oauth_apps set suspended_at = now(), suspended_reason = $2,
                probe_due_at = clock_timestamp() + make_interval(secs => $3)
            where id = $1 and suspended_at is null returning *)
        insert into evergrant.events (environment_id, type, payload)
        select c.environment_id, 'oauth_app.suspended', \(document) from c returning id
        """)

    private static let claimStatement = PostgresStatement(
        "claim_quarantine_probe",
        """
        update evergrant.oauth_apps set probe_due_at = clock_timestamp() + make_interval(secs => $2)
        where id = $1 and suspended_at is not null and probe_due_at <= clock_timestamp() returning id
        """)

    private static let endStatement = PostgresStatement(
        "end_quarantine",
        """
        with c as (
            update evergrant.oauth_apps set suspended_at = null, suspended_reason = null, probe_due_at = null
            where id = $1 and suspended_at is not null returning *)
        insert into evergrant.events (environment_id, type, payload)
        select c.environment_id, 'oauth_app.resumed', \(document) from c returning id
        """)

    private static let releaseStatement = PostgresStatement(
        "release_quarantined",
        """
        update evergrant.connections set refresh_due_at = now() + random() * make_interval(secs => $2),
            next_attempt_at = now()
        where oauth_app_id = $1 and reason = 'app_fault' and state in ('active', 'degraded', 'suspected')
        """)
}
