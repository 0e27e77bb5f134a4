import Postgres

extension Deliveries {
    /// Index: primary keys.
    static let dueStatement = PostgresStatement(
        "find_due_delivery",
        """
        select d.id, d.environment_id, d.state, d.attempts - d.attempts_before, d.next_attempt_at, d.deliver_until, clock_timestamp(),
            e.uid, \(Events.document), w.id, w.uid, w.url, w.secret, w.secret_version,
            case when w.previous_until > clock_timestamp() then w.previous_secret end, w.disabled_at is not null,
            w.failing_since is not null, d.replayed_at is not null
        from evergrant.deliveries d
        join evergrant.events e on e.id = d.event_id
        join evergrant.webhook_endpoints w on w.id = d.endpoint_id
        where d.id = $1
        """)

    static let recordStatement = PostgresStatement(
        "record_delivery",
        """
        update evergrant.deliveries d set attempts = attempts + 1, state = $2, last_status = $3, last_error = $4,
            next_attempt_at = clock_timestamp() + $6::interval,
            delivered_at = case when $2 = 'delivered' then clock_timestamp() end,
            log = (case when jsonb_array_length(log) >= $7 then log - 0 else log end)
                || jsonb_strip_nulls(jsonb_build_object('at', evergrant.rfc3339(clock_timestamp()), 'ms', $5::bigint,
                    'status', $3::int, 'error', $4::text))
        where id = $1 and state = 'pending' returning id
        """)

    private static let columns = """
        d.id, d.uid, d.environment_id, w.uid, w.name, e.uid, e.type, e.position, d.state, d.attempts, d.next_attempt_at,
        d.deliver_until, d.last_status, d.last_error, d.log, d.created_at, d.delivered_at, d.replayed_at
        """

    /// Index: primary key, backwards.
    static let listStatement = list(
        "list_deliveries", "$5::bigint is null and ($6::bigint is null or d.endpoint_id = $6)")

    /// Index: deliveries_of_endpoint.
    static let listOfEndpointStatement = list(
        "list_deliveries_of_endpoint", "$5::bigint is null and d.endpoint_id = $6")

    /// Index: one_delivery_an_event_and_endpoint.
    static let listOfEventStatement = list(
        "list_deliveries_of_event", "d.event_id = $5 and ($6::bigint is null or d.endpoint_id = $6)")

    private static func list(_ name: String, _ condition: String) -> PostgresStatement {
        PostgresStatement(
            name,
            """
            select \(columns)
            from evergrant.deliveries d join evergrant.events e on e.id = d.event_id
            join evergrant.webhook_endpoints w on w.id = d.endpoint_id
            where d.environment_id = $1 and \(condition) and ($2::text is null or d.state = $2) and d.id < $3
            order by d.id desc limit $4
            """)
    }

    static let findStatement = PostgresStatement(
        "find_delivery",
        """
        select \(columns)
        from evergrant.deliveries d join evergrant.events e on e.id = d.event_id
        join evergrant.webhook_endpoints w on w.id = d.endpoint_id
        where d.environment_id = $1 and d.uid = $2
        """)

    /// Begins a new round: the tries so far no longer count for the backoff.
    private static let newRound = """
        state = 'pending', next_attempt_at = now(), deliver_until = now() + $2::interval, attempts_before = d.attempts,
            delivered_at = null, replayed_at = now()
        """

    static let redeliverStatement = PostgresStatement(
        "redeliver",
        """
        update evergrant.deliveries d set \(newRound) from evergrant.webhook_endpoints w
        where d.id = $1 and w.id = d.endpoint_id and w.disabled_at is null and d.state <> 'pending'
        returning d.id, d.environment_id, w.uid
        """)

    /// A pending delivery whose next try waits for its backoff: at once.
    static let hastenStatement = PostgresStatement(
        "hasten_delivery",
        """
        update evergrant.deliveries d set next_attempt_at = now() from evergrant.webhook_endpoints w
        where d.id = $1 and w.id = d.endpoint_id and w.disabled_at is null and d.state = 'pending'
        returning d.id, d.environment_id, w.uid
        """)

    private static let replayed = """
        from evergrant.events e
        left join evergrant.deliveries known on known.event_id = e.id and known.endpoint_id = w.id
        where e.environment_id = w.environment_id and e.position > $3 and ($4::bigint is null or e.position <= $4)
            and ($5::timestamptz is null or e.created_at >= $5) and ($6::timestamptz is null or e.created_at < $6)
            and e.type <> 'webhook.test'
            and (e.type = any(coalesce($7::text[], w.types, $8)) or '*' = any(coalesce($7::text[], w.types)) and e.type like 'connection.%')
            and (known.id is null or known.state <> 'pending')
            and (not $9 or known.id is null or known.state = 'failed')
        """

    /// Index: events_feed, one_delivery_an_event_and_endpoint.
    static let replayStatement = PostgresStatement(
        "replay_deliveries",
        """
        with picked as materialized (
            select w.id as endpoint_id, w.uid, p.* from evergrant.webhook_endpoints w
            cross join lateral (
                select e.id, e.environment_id, e.position \(replayed) order by e.position limit $10) p
            where w.id = $1 and w.disabled_at is null),
        made as (
            insert into evergrant.deliveries as d (environment_id, event_id, endpoint_id, next_attempt_at,
                deliver_until, replayed_at)
            select environment_id, id, endpoint_id, now(), now() + $2::interval, now() from picked order by position
            on conflict (event_id, endpoint_id) do update set \(newRound) where d.state <> 'pending'
            returning d.id, d.environment_id)
        select case when c.n = $10 then c.last end, m.id, m.environment_id, c.uid
        from (select count(*) as n, max(position) as last, max(uid) as uid from picked) c left join made m on true order by m.id
        """)

    /// Index: events_feed, one_delivery_an_event_and_endpoint. $2 is not used.
    static let previewReplayStatement = PostgresStatement(
        "preview_replay",
        """
        select count(p.position), max(p.position) from evergrant.webhook_endpoints w
        cross join lateral (select e.position \(replayed) order by e.position limit $10) p
        where w.id = $1 and $2::interval is not null
        """)

    /// Index: primary key. The oldest; those that are pending end within days.
    static let pruneStatement = PostgresStatement(
        "prune_deliveries",
        """
        with oldest as (
            select id from (
                select id, state, coalesce(replayed_at, created_at) as at from evergrant.deliveries
                order by id limit $2) o
            where state <> 'pending' and at < now() - $1::interval)
        delete from evergrant.deliveries d using oldest o
        where d.id = o.id and d.state <> 'pending' and not exists (
            select from evergrant.events e join evergrant.connections c on c.id = e.connection_id
            where e.id = d.event_id and e.connection_version = c.version and c.state = 'broken')
        returning d.id
        """)

    /// Index: deliveries_of_endpoint, deliveries_pending, deliveries_delivered.
    static let healthStatement = PostgresStatement(
        "endpoint_health",
        """
        select latest.ended, latest.delivered, latest.tries, latest.milliseconds, latest.since,
            (select max(d.delivered_at) from evergrant.deliveries d where d.endpoint_id = $1 and d.state = 'delivered'),
            (select count(*) from (select from evergrant.deliveries d
                where d.endpoint_id = $1 and d.state = 'pending' limit 10000) p),
            (select e.created_at from evergrant.deliveries d join evergrant.events e on e.id = d.event_id
                where d.endpoint_id = $1 and d.state = 'pending' order by d.id limit 1)
        from (
            select count(*) filter (where state <> 'pending') as ended,
                count(*) filter (where state = 'delivered') as delivered, coalesce(sum(attempts), 0)::bigint as tries,
                percentile_disc(0.5) within group (order by (log -> -1 ->> 'ms')::bigint)
                    filter (where state = 'delivered') as milliseconds,
                min(created_at) as since
            from (select state, attempts, log, created_at from evergrant.deliveries
                where endpoint_id = $1 order by id desc limit 1000) l) latest
        """)

    /// Index: deliveries_waiting.
    static let claimForgottenStatement = PostgresStatement(
        "claim_forgotten_deliveries",
        """
        with forgotten as (
            select id from evergrant.deliveries where state = 'pending' and next_attempt_at < now() - $1::interval
            order by next_attempt_at limit $2 for update skip locked)
        update evergrant.deliveries d set next_attempt_at = now() from forgotten f, evergrant.webhook_endpoints w
        where d.id = f.id and w.id = d.endpoint_id returning d.id, d.environment_id, w.uid
        """)

    /// Index: connections_of_environment, one_event_a_transition, one_delivery_an_event_and_endpoint. A break stands
    /// while the connection is broken in the version of its event.
    static let retellBreaksStatement = PostgresStatement(
        "retell_breaks",
        """
        insert into evergrant.deliveries as d (environment_id, event_id, endpoint_id, next_attempt_at, deliver_until)
        select w.environment_id, e.id, w.id, now(), now() + $4::interval
        from evergrant.webhook_endpoints w
        join evergrant.connections c on c.environment_id = w.environment_id and c.state = 'broken'
        join evergrant.events e on e.connection_id = c.id and e.connection_version = c.version
        left join evergrant.deliveries known on known.event_id = e.id and known.endpoint_id = w.id
        where w.id = $1 and w.disabled_at is null and e.position is not null and e.created_at >= w.created_at
            and (e.type = any(coalesce(w.types, $3)) or '*' = any(w.types))
            and (known.id is null or known.state = 'failed')
        order by e.id limit $2
        on conflict (event_id, endpoint_id) do update set state = 'pending', next_attempt_at = now(),
            deliver_until = now() + $4::interval, attempts_before = d.attempts, replayed_at = now()
        where d.state = 'failed'
        returning d.id, d.environment_id, (select w.uid from evergrant.webhook_endpoints w where w.id = $1)
        """)
}
