import Pacing
import Postgres
import Vault

/// A grant that nothing came of, waiting to be revoked.
package struct StrayGrant: Sendable {
    package let id: Int64
    package let uid: String
    package let environmentID: Int64
    package let oauthAppID: Int64
    package let integration: String
    package let sealed: [UInt8]
    package let isPatienceOver: Bool
}

/// Rows of `evergrant.stray_grants`.
package enum StrayGrants {
    /// - Parameters:
    ///   - sealed: for ``SealContext/strayGrant(environmentID:uid:)``.
    ///   - delay: until the first attempt that a sweep makes; the caller makes one itself at once.
    package static func insert(
        uid: String, environmentID: Int64, oauthAppID: Int64, integration: String, reason: String, sealed: [UInt8],
        delay: Duration, in db: any PostgresQuerying
    ) async throws {
        try await db.execute(
            insertStatement,
            [
                .text(uid), .int8(environmentID), .int8(oauthAppID), .text(integration), .text(reason),
                .bytea(sealed), .float8(delay.seconds),
            ])
    }

    /// Claims those that are due, for `claim` each: the next attempt is then, unless this one ends them.
    package static func claimDue(
        limit: Int, claim: Duration, patience: Duration, in db: any PostgresQuerying
    ) async throws -> [StrayGrant] {
        try await db.execute(
            claimStatement, [.int4(Int32(limit)), .float8(claim.seconds), .float8(patience.seconds)]
        ).map { row in
            let (id, uid, environment, app, integration, sealed, isOver) = try row.decode(
                Int64.self, String.self, Int64.self, Int64.self, String.self, [UInt8].self, Bool.self)
            return StrayGrant(
                id: id, uid: uid, environmentID: environment, oauthAppID: app, integration: integration,
                sealed: sealed, isPatienceOver: isOver)
        }
    }

    package static func remove(uid: String, in db: any PostgresQuerying) async throws {
        try await db.execute(removeStatement, [.text(uid)])
    }

    private static let insertStatement = PostgresStatement(
        "insert_stray_grant",
        """
        insert into evergrant.stray_grants (uid, environment_id, oauth_app_id, integration, reason, sealed,
            next_attempt_at)
        values ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7))
        """)

    /// Index: stray_grants_due.
    private static let claimStatement = PostgresStatement(
        "claim_stray_grants",
        """
        with due as (
            select id from evergrant.stray_grants where next_attempt_at <= now()
            order by next_attempt_at limit $1 for update skip locked)
        update evergrant.stray_grants s set tries = tries + 1,
            next_attempt_at = now() + make_interval(secs => least($2 * (tries + 1), 21600))
        from due where s.id = due.id
        returning s.id, s.uid, s.environment_id, s.oauth_app_id, s.integration, s.sealed,
            s.created_at < now() - make_interval(secs => $3)
        """)

    private static let removeStatement = PostgresStatement(
        "remove_stray_grant", "delete from evergrant.stray_grants where uid = $1")
}

extension SealContext {
    /// A token set that waits to be revoked, with the account it opens.
    package static func strayGrant(environmentID: Int64, uid: String) -> SealContext {
        SealContext(purpose: "stray_grant", environmentID: environmentID, rowID: uid, generation: 1)
    }
}
