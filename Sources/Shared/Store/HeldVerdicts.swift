import Foundation
import Pacing
import Postgres

/// Rows of `evergrant.held_verdicts`: refused connections whose second refusal waits because many were refused at once.
package enum HeldVerdicts {
    /// Holds a connection's verdict. One that was held before keeps its time, over any number of waves, as long as it
    /// is the same grant and the same trouble.
    /// - Parameter memory: a hold older than this was another trouble.
    /// - Returns: since when it is held, and the database's clock now.
    package static func hold(
        connectionID: Int64, grantID: UUID, key: TokenHostKey, memory: Duration, in db: any PostgresQuerying
    ) async throws -> (since: Date, now: Date) {
        let row = try await db.execute(
            holdStatement,
            [.int8(connectionID), .uuid(grantID), .int8(key.appID), .text(key.host), .interval(memory)]
        ).first
        guard let row else { throw MissingRow(statement: holdStatement.name) }
        return try row.decode(Date.self, Date.self)
    }

    /// Since when the connection's verdict has been held; nil when it was not.
    package static func heldSince(
        connectionID: Int64, grantID: UUID, in db: any PostgresQuerying
    ) async throws -> Date? {
        try await db.execute(sinceStatement, [.int8(connectionID), .uuid(grantID)]).first?.decode(Date.self)
    }

    /// Its verdict was given.
    package static func forget(connectionID: Int64, in db: any PostgresQuerying) async throws {
        try await db.execute(forgetStatement, [.int8(connectionID)])
    }

    /// Makes one held connection due now: the one that was tested longest ago.
    package static func tryOne(_ key: TokenHostKey, in db: any PostgresQuerying) async throws -> Bool {
        try await db.execute(tryStatement, [.int8(key.appID), .text(key.host)]).first != nil
    }

    /// Makes a batch of the held due within `spread`; their next refusal counts.
    /// - Returns: how many; fewer than `limit` when all are released.
    package static func release(
        _ key: TokenHostKey, limit: Int, over spread: Duration, in db: any PostgresQuerying
    ) async throws -> Int {
        let row = try await db.execute(
            releaseStatement, [.int8(key.appID), .text(key.host), .int4(Int32(limit)), .interval(spread)]
        ).first
        return try row?.decode(Int.self) ?? 0
    }

    /// Held verdicts of each endpoint that wait, counted up to 10,000 each; for gauges and people.
    package static func counts(in db: any PostgresQuerying) async throws -> [(appID: Int64, host: String, held: Int)] {
        try await db.execute(countStatement, []).map { row in
            let (app, host, held) = try row.decode(Int64.self, String.self, Int64.self)
            return (app, host, Int(held))
        }
    }

    /// Forgets what was released long ago and met no refusal since: its user reconnected, or it was deleted.
    package static func prune(in db: any PostgresQuerying) async throws {
        try await db.execute(pruneStatement, [])
    }

    static let pruneStatement = PostgresStatement(
        "prune_held_verdicts",
        "delete from evergrant.held_verdicts where released_at < now() - interval '7 days'")

    static let holdStatement = PostgresStatement(
        "hold_verdict",
        """
        insert into evergrant.held_verdicts as v (connection_id, grant_id, oauth_app_id, host, since, tried_at)
        values ($1, $2, $3, $4, clock_timestamp(), clock_timestamp())
        on conflict (connection_id) do update set
            since = case when v.grant_id = excluded.grant_id and v.since > clock_timestamp() - $5::interval
                then v.since else excluded.since end,
            grant_id = excluded.grant_id, oauth_app_id = excluded.oauth_app_id, host = excluded.host,
            tried_at = excluded.tried_at, released_at = null
        returning since, clock_timestamp()
        """)

    static let sinceStatement = PostgresStatement(
        "find_held_verdict",
        "select since from evergrant.held_verdicts where connection_id = $1 and grant_id = $2")

    static let forgetStatement = PostgresStatement(
        "forget_held_verdict", "delete from evergrant.held_verdicts where connection_id = $1")

    /// Index: held_verdicts_of_host.
    static let tryStatement = PostgresStatement(
        "try_held_verdict",
        """
        with v as (
            select connection_id from evergrant.held_verdicts
            where oauth_app_id = $1 and host = $2 and released_at is null
            order by tried_at nulls first limit 1 for update skip locked),
        noted as (
            update evergrant.held_verdicts h set tried_at = clock_timestamp() from v
            where h.connection_id = v.connection_id)
        update evergrant.connections c set refresh_due_at = now(), next_attempt_at = now(), retest_at = now()
        from v where c.id = v.connection_id and c.state = 'suspected' and c.attempt_nonce is null returning c.id
        """)

    /// Index: held_verdicts_of_host.
    static let releaseStatement = PostgresStatement(
        "release_held_verdicts",
        """
        with v as materialized (
            select connection_id, clock_timestamp() + random() * $4::interval as due from evergrant.held_verdicts
            where oauth_app_id = $1 and host = $2 and released_at is null
            order by tried_at nulls first limit $3 for update skip locked),
        released as (
            update evergrant.held_verdicts h set released_at = clock_timestamp() from v
            where h.connection_id = v.connection_id returning h.connection_id),
        moved as (
            update evergrant.connections c set refresh_due_at = v.due, next_attempt_at = v.due, retest_at = v.due
            from v where c.id = v.connection_id and c.state = 'suspected')
        select count(*) from released
        """)

    /// Index: held_verdicts_of_host. One step of the index an endpoint, then at most 10,000 of each.
    static let countStatement = PostgresStatement(
        "count_held_verdicts",
        """
        with recursive h as (
            (select oauth_app_id, host from evergrant.held_verdicts where released_at is null
             order by oauth_app_id, host limit 1)
            union all
            select n.oauth_app_id, n.host from h cross join lateral (
                select v.oauth_app_id, v.host from evergrant.held_verdicts v
                where v.released_at is null and (v.oauth_app_id, v.host) > (h.oauth_app_id, h.host)
                order by v.oauth_app_id, v.host limit 1) n)
        select h.oauth_app_id, h.host, (
            select count(*) from (
                select 1 from evergrant.held_verdicts v
                where v.released_at is null and v.oauth_app_id = h.oauth_app_id and v.host = h.host limit 10000) c)
        from h limit 1000
        """)
}
