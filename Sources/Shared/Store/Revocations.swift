import Foundation
import Pacing
import Postgres

/// The end of a connection: proof of the revocation, and its secrets destroyed.
package enum Revocations {
    /// Ends the attempt that revoked: secrets and alternates are deleted, the proof stays. (The write-ahead log and
    /// backups keep their own copies until they are recycled.)
    /// - Parameter proof: a JSON object: result, status, time, tries.
    /// - Returns: false when the mark was no longer ours.
    package static func finish(_ mark: AttemptMark, proof: [UInt8], in db: any PostgresQuerying) async throws -> Bool {
        try await db.execute(
            finishStatement, [.int8(mark.connectionID), .uuid(mark.nonce), .jsonb(proof)]
        ).first != nil
    }

    /// Ends an attempt that could not revoke: tried again after `delay`.
    package static func postpone(
        _ mark: AttemptMark, retryIn delay: Duration, why: [UInt8], in db: any PostgresQuerying
    ) async throws -> Bool {
        try await db.execute(
            postponeStatement, [.int8(mark.connectionID), .uuid(mark.nonce), .float8(delay.seconds), .jsonb(why)]
        ).first != nil
    }

    /// Clears the open mark of a connection in `revoking` whose attempt is past its deadline.
    package static func releaseMark(connectionID: Int64, nonce: UUID, in db: any PostgresQuerying) async throws {
        try await db.execute(releaseStatement, [.int8(connectionID), .uuid(nonce)])
    }

    /// Claims connections in `revoking` whose next try is due. Same rules as for refreshes.
    package static func claimDue(limit: Int, claim: Duration, in db: any PostgresQuerying) async throws
        -> [(id: Int64, environmentID: Int64)]
    {
        try await db.execute(claimStatement, [.int4(Int32(limit)), .float8(claim.seconds)]).map { row in
            let (id, environment) = try row.decode(Int64.self, Int64.self)
            return (id, environment)
        }
    }

    /// Keeps schedulers from a connection in `revoking` for so long: its attempt is being made.
    package static func claim(connectionID: Int64, for length: Duration, in db: any PostgresQuerying) async throws {
        try await db.execute(claimOneStatement, [.int8(connectionID), .float8(length.seconds)])
    }

    /// How many other connections hold the same grant at the provider: same OAuth app and account, not being revoked.
    package static func livingSiblings(connectionID: Int64, in db: any PostgresQuerying) async throws -> Int {
        try await db.execute(siblingsStatement, [.int8(connectionID)]).first?.decode(Int.self) ?? 0
    }

    /// When the deletion was asked for.
    package static func requestedAt(connectionID: Int64, in db: any PostgresQuerying) async throws -> Date? {
        try await db.execute(requestedStatement, [.int8(connectionID)]).first?.decode(Date.self)
    }

    private static let clearing = """
        attempt_nonce = null, attempt_kind = null, attempt_owner = null, attempt_started_at = null,
            attempt_deadline = null
        """

    private static let finishStatement = PostgresStatement(
        "finish_revocation",
        """
        with gone as (
            update evergrant.connections set state = 'revoked', revocation = $3, next_attempt_at = null,
                refresh_due_at = null, validate_due_at = null, ambiguous_generation = null, ambiguous_since = null,
                \(clearing)
            where id = $1 and attempt_nonce = $2 and state = 'revoking' returning id),
        alternates as (delete from evergrant.alternates a using gone where a.connection_id = gone.id),
        secrets as (delete from evergrant.credentials k using gone where k.connection_id = gone.id)
        select id from gone
        """)

    private static let postponeStatement = PostgresStatement(
        "postpone_revocation",
        """
        update evergrant.connections set failures = failures + 1, revocation = $4,
            next_attempt_at = clock_timestamp() + make_interval(secs => $3), \(clearing)
        where id = $1 and attempt_nonce = $2 returning id
        """)

    private static let releaseStatement = PostgresStatement(
        "release_revoking_mark",
        """
        update evergrant.connections set next_attempt_at = now(), \(clearing)
        where id = $1 and attempt_nonce = $2 and state = 'revoking' and attempt_deadline < clock_timestamp()
        """)

    /// Index: connections_revoke_due.
    private static let claimStatement = PostgresStatement(
        "claim_due_revocations",
        """
        with due as (
            select id from evergrant.connections where state = 'revoking' and next_attempt_at <= now()
            order by next_attempt_at limit $1 for update skip locked)
        update evergrant.connections c set next_attempt_at = now() + make_interval(secs => $2) from due
        where c.id = due.id returning c.id, c.environment_id
        """)

    private static let claimOneStatement = PostgresStatement(
        "claim_revocation",
        """
        update evergrant.connections set next_attempt_at = now() + make_interval(secs => $2)
        where id = $1 and state = 'revoking'
        """)

    /// Index: connections_of_account.
    private static let siblingsStatement = PostgresStatement(
        "count_living_siblings",
        """
        select count(*) from evergrant.connections c join evergrant.connections s
            on s.oauth_app_id = c.oauth_app_id and s.account_id = c.account_id and s.id <> c.id
                and s.state not in ('revoking', 'revoked', 'broken')
        where c.id = $1
        """)

    private static let requestedStatement = PostgresStatement(
        "find_deletion_time", "select since from evergrant.connections where id = $1")
}
