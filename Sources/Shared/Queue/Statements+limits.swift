import Postgres

/// Limits, pauses, and how runners hear of them.
extension Statements {
    /// One row: the version of pauses and limits, and whether a job waits for room. Index jobs_parked_turn.
    static let controls = PostgresStatement(
        "read controls",
        """
        select coalesce((select c.version from evergrant.queue_controls c), 0),
            exists (select from evergrant.jobs_parked p where p.reason = 'wait')
        """)
    static let pauses = PostgresStatement(
        "list pauses", "select reason, limit_key from evergrant.pauses order by reason, limit_key")

    /// Keys whose limit was made or changed after version $1. Index limits_version.
    static let limitedKeys = PostgresStatement(
        "list limited keys", "select key from evergrant.limits where version > $1::bigint")

    /// $1 lease, $2 worker, $3 jobs, $4 their limit keys. Lease FOR KEY SHARE, then limits FOR UPDATE by key.
    static let admit = PostgresStatement(
        "admit jobs",
        "select o_job, o_short, o_wait from evergrant.admit($1::bigint, $2::bigint, $3::bigint[], $4::text[])")

    /// $1 worker, $2 how many, $3 the key to begin after. Parked rows FOR UPDATE SKIP LOCKED, then limits by key.
    static let claimParked = PostgresStatement(
        "claim parked jobs",
        """
        select o_next, o_wait, o_lease, o_job, o_kind, o_queue, o_priority, o_attempt, o_max_attempts, o_crashes,
            o_limit_key, o_args
        from evergrant.claim_parked($1::bigint, $2::int, $3::text)
        """)

    static let setLimit = PostgresStatement(
        "set limit", "select evergrant.set_limit($1::text, $2::int, $3::float8, $4::int)")
    static let removeLimit = PostgresStatement("remove limit", "select evergrant.remove_limit($1::text)")
    static let blockLimit = PostgresStatement(
        "block limit", "select evergrant.block_limit($1::text, $2::float8, $3::text)")
    static let forgetLimits = PostgresStatement("forget limits", "select evergrant.forget_limits()")
    static let pause = PostgresStatement("pause jobs", "select evergrant.pause($1::text, $2::text)")
    static let resume = PostgresStatement("resume jobs", "select evergrant.resume($1::text, $2::text, $3::int)")

    /// $1 key to begin after, $2 how many, $3 what keys begin with, $4 one key; all but $2 may be null. Primary key; waiting jobs by index jobs_parked_turn, up to 10,000 each.
    static let limits = PostgresStatement(
        "list limits",
        """
        select l.key, l.concurrency, l.rate, l.burst, l.in_use,
            case when l.rate is not null then evergrant.tokens_now(l) end,
            case when l.blocked_until > now() then l.blocked_until end,
            case when l.blocked_until > now() then l.blocked_because end,
            (select count(*) from (
                select from evergrant.jobs_parked p where p.reason = 'wait' and p.limit_key = l.key limit 10000) w)
        from evergrant.limits l
        where ($1::text is null or l.key > $1)
          and ($3::text is null or starts_with(l.key, $3)) and ($4::text is null or l.key = $4)
          and (l.concurrency is not null or l.rate is not null or l.blocked_until > now())
        order by l.key limit $2::int
        """)
}
