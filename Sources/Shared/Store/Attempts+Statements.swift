import Postgres

extension Attempts {
    /// What `attempt(_:_:in:)` reads, of a marked row `m`, its credential `k` and its OAuth app `a`.
    private static func returned(known: Int) -> String {
        """
        select m.uid, m.environment_id, m.integration, m.provider, m.state, m.grant_id, m.generation,
            case when m.ambiguous_generation = m.generation then m.ambiguous_since end, m.attempt_started_at,
            m.attempt_deadline, m.attempt_tries, m.failures, m.access_expires_at, m.ends_at, m.granted_scopes,
            k.sealed as sealed, k.previous_sealed, k.previous_generation, coalesce(k.issued_at, m.access_issued_at),
            a.id, a.uid, a.client_id, a.client_secret, a.secret_version, a.parameters, a.suspended_at, a.probe_due_at,
            a.other_secret, a.other_version, a.other_role, a.working_version,
            evergrant.server_is_held($\(known)) as is_held
        from marked m
        left join evergrant.credentials k
            on k.connection_id = m.id and k.generation = m.generation and k.grant_id = m.grant_id
        left join evergrant.oauth_apps a on a.id = m.oauth_app_id
        """
    }

    /// Lock: the row, for the length of this statement. Index: primary key. A suspected connection is left alone until
    /// its re-test is due, whoever asks: a provider that refuses everybody for a moment must not be asked twice in it.
    static let markStatement = PostgresStatement(
        "mark_attempt",
        """
        with marked as (
            update evergrant.connections set attempt_nonce = $2, attempt_kind = $3, attempt_owner = $4,
                attempt_started_at = clock_timestamp(),
                attempt_deadline = clock_timestamp() + make_interval(secs => $5)
            where id = $1 and attempt_nonce is null and ($6::bigint is null or generation = $6) and state = any($7)
                and (state <> 'suspected' or retest_at is null or retest_at <= clock_timestamp())
            returning *)
        \(returned(known: 8))
        """)

    /// The generation was perhaps sent: it stays ambiguous, counted from its first unanswered attempt.
    static let takeOverStatement = PostgresStatement(
        "take_over_attempt",
        """
        with marked as (
            update evergrant.connections set attempt_nonce = $2, attempt_owner = $4,
                ambiguous_since = case when ambiguous_generation = generation then ambiguous_since
                    else attempt_started_at end,
                ambiguous_generation = generation, attempt_tries = attempt_tries + 1,
                attempt_started_at = clock_timestamp(),
                attempt_deadline = clock_timestamp() + make_interval(secs => $5)
            where id = $1 and attempt_nonce = $3 and attempt_deadline < clock_timestamp()
            returning *)
        \(returned(known: 6))
        """)

    static let rereadStatement = PostgresStatement(
        "reread_attempt",
        """
        with marked as (select * from evergrant.connections where id = $1 and attempt_nonce = $2)
        \(returned(known: 3))
        """)

    static let renewStatement = PostgresStatement(
        "renew_attempt",
        """
        update evergrant.connections set attempt_deadline = clock_timestamp() + make_interval(secs => $3)
        where id = $1 and attempt_nonce = $2 returning id
        """)

    /// A state that does not change writes no event. `broken` and `revoked` have nothing more that is due. No refusal is
    /// believed while the server is held.
    static let endStatement = PostgresStatement(
        "end_attempt",
        """
        update evergrant.connections set
            ambiguous_since = case when not $9 then ambiguous_since
                when ambiguous_generation = generation then ambiguous_since else attempt_started_at end,
            ambiguous_generation = case when $9 then generation when $5 = 'broken' then null
                else ambiguous_generation end,
            attempt_nonce = null, attempt_kind = null, attempt_owner = null, attempt_started_at = null,
            attempt_deadline = null, state = case when state = 'revoking' then state else $5 end,
            reason = case when state = 'revoking' then reason else coalesce($6, reason) end,
            failures = failures + $8::int, next_attempt_at = clock_timestamp() + make_interval(secs => $7),
            retest_at = case when $5 = 'suspected' then clock_timestamp() + make_interval(secs => $7) end,
            refresh_due_at = case when state = 'revoking' or $5 = 'broken' then null
                else clock_timestamp() + make_interval(secs => $7) end
        where id = $1 and attempt_nonce = $2 and grant_id = $3 and generation = $4
            and ($5 = state or $5 not in ('suspected', 'broken') or state = 'revoking'
                or not evergrant.server_is_held(null)) returning id
        """)

    static let leaveOpenStatement = PostgresStatement(
        "leave_attempt_open",
        """
        update evergrant.connections set
            ambiguous_since = case when ambiguous_generation = generation then ambiguous_since
                else attempt_started_at end,
            ambiguous_generation = generation, failures = failures + $4::bool::int,
            attempt_deadline = clock_timestamp() + make_interval(secs => $3),
            next_attempt_at = clock_timestamp() + make_interval(secs => $3),
            state = case when state = 'active' then 'degraded' else state end,
            reason = case when state = 'active' then 'provider_trouble' else reason end
        where id = $1 and attempt_nonce = $2 returning id
        """)

    /// Used or made lately, or not to be left until it is used. Near its end a grant that is not used is tried once more
    /// there: the provider says whether it is the end.
    private static let isHot =
        "($11::timestamptz is null or greatest(last_used_at, created_at) >= $12::timestamptz)"

    private static func committing(
        _ condition: String, generation: String = "generation = $4", clearing: String
    ) -> String {
        """
        with changed as (
            update evergrant.connections set generation = $4 + 1, state = 'active', reason = null, failures = 0,
                next_attempt_at = null, retest_at = null, attempt_tries = 0, access_issued_at = $6,
                access_expires_at = $7, ends_at = coalesce($9, ends_at),
                refresh_due_at = case when \(isHot) then $8
                    else least($11, case when coalesce($9, ends_at) > $6 then coalesce($9, ends_at) end) end,
                ahead_at = case when \(isHot) then null else $8 end, lost_at = least($13, coalesce($9, ends_at)),
                warn_due_at = case when $9::timestamptz is null
                        or abs(extract(epoch from $9 - warned_end)) < 3600 then warn_due_at else $14 end,
                granted_scopes = coalesce($10, granted_scopes), last_refreshed_at = now(), updated_at = now(),
                ambiguous_since = case when ambiguous_generation >= $4 then ambiguous_since end,
                ambiguous_generation = case when ambiguous_generation >= $4 then ambiguous_generation end\(clearing)
            where id = $1 and grant_id = $3 and \(generation) and \(condition)
                and state in ('active', 'degraded', 'suspected', 'broken')
            returning id)
        update evergrant.credentials k set previous_sealed = case when k.generation = $4 then k.sealed end,
            previous_generation = case when k.generation = $4 then k.generation end,
            previous_issued_at = case when k.generation = $4 then k.issued_at end, sealed = $5, generation = $4 + 1, issued_at = $6, proven = false
        from changed where k.connection_id = changed.id returning k.connection_id
        """
    }

    static let commit = PostgresStatement(
        "commit_refresh",
        committing(
            "attempt_nonce = $2",
            clearing: """
                , attempt_nonce = null, attempt_kind = null, attempt_owner = null, attempt_started_at = null,
                    attempt_deadline = null
                """))

    static let commitWithoutMark = PostgresStatement(
        "commit_successor",
        committing("$2::uuid is not null", generation: "generation <= $4", clearing: ""))

    /// The generation of a sent token whose answer is not known, or of one behind it: what came after is missing here.
    static let doubtStatement = PostgresStatement(
        "doubt_generation",
        """
        update evergrant.connections set
            ambiguous_since = case when ambiguous_generation = generation then least(ambiguous_since, $4) else $4 end,
            ambiguous_generation = generation
        where id = $1 and grant_id = $2 and (generation = $3 or not $5 and generation < $3)
            and state in ('active', 'degraded', 'suspected')
        """)

    /// Index: connections_open_attempts.
    static let openStatement = PostgresStatement(
        "list_open_attempts",
        """
        select c.id, c.environment_id, c.attempt_nonce, c.attempt_kind, c.state, c.provider,
            coalesce(a.parameters, '{}'), c.attempt_started_at, c.access_expires_at, clock_timestamp(),
            case when c.ambiguous_generation = c.generation then c.ambiguous_since end, c.generation, c.grant_id
        from evergrant.connections c left join evergrant.oauth_apps a on a.id = c.oauth_app_id
        where c.attempt_nonce is not null and c.attempt_deadline < clock_timestamp()
            and ($2::bigint is null or c.id = $2)
        order by c.attempt_deadline limit $1
        """)

    /// Three disjoint classes, most urgent first, each by its own index: connections_closing_due (an answer may be lost, a
    /// window may be closing), connections_lost (the grant is lost within $3 seconds), connections_refresh_due. What another
    /// planner has locked is passed over. An open attempt will write the due time itself.
    package static let claimDueStatement = PostgresStatement(
        "claim_due_refreshes",
        """
        with closing as materialized (                                                  -- 1
            select id, 0 as rank, refresh_due_at as at from evergrant.connections
            where state in ('active', 'degraded', 'suspected') and ambiguous_generation is not null
                and refresh_due_at is not null and refresh_due_at <= now()
            order by refresh_due_at limit $1 for update skip locked),
        endangered as materialized (                                                    -- 2
            select id, 1 as rank, lost_at as at from evergrant.connections
            where state not in ('pending', 'broken', 'revoking', 'revoked') and lost_at is not null
                and refresh_due_at is not null and lost_at <= now() + make_interval(secs => $3) and refresh_due_at <= now()
                and ambiguous_generation is null
            order by lost_at limit $1 - (select count(*) from closing) for update skip locked),
        usual as materialized (                                                         -- 3
            select id, 2 as rank, refresh_due_at as at from evergrant.connections
            where state in ('active', 'degraded', 'suspected') and refresh_due_at is not null
                and refresh_due_at <= now() and ambiguous_generation is null
                and (lost_at is null or lost_at > now() + make_interval(secs => $3))
            order by refresh_due_at
            limit $1 - (select count(*) from closing) - (select count(*) from endangered) for update skip locked),
        due as (select * from closing union all select * from endangered union all select * from usual),
        claimed as (
            update evergrant.connections c set refresh_due_at = now() + make_interval(secs => $2), ahead_at = null
            -- An array: the size of a join would be guessed from all that is due, and the whole table be read for it.
            where c.id = any(array(select id from due))
            returning c.id, c.environment_id, c.generation, c.ambiguous_generation is not null, c.provider,
                c.oauth_app_id)
        select claimed.* from claimed join due on due.id = claimed.id order by due.rank, due.at
        """)

    /// No job is made for them now: they come due again when there may be room.
    static let postponeStatement = PostgresStatement(
        "postpone_refreshes",
        """
        update evergrant.connections c set refresh_due_at = now() + make_interval(secs => p.wait)
        from unnest($1::bigint[], $2::float8[]) p(id, wait)
        where c.id = p.id and c.refresh_due_at is not null
        """)

    static let makeDueStatement = PostgresStatement(
        "make_refresh_due",
        """
        update evergrant.connections set refresh_due_at = now(), next_attempt_at = now()
        where id = $1 and state in ('active', 'degraded', 'suspected')
        """)
}
