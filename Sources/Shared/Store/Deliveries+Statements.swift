import Postgres

extension Deliveries {
    /// Index: primary keys.
    static let dueStatement = PostgresStatement(
        "find_due_delivery",
        """
        select d.id, d.environment_id, d.state, d.attempts, d.next_attempt_at, d.deliver_until, clock_timestamp(),
            e.uid, \(Events.document), w.id, w.uid, w.url, w.secret, w.secret_version,
            case when w.previous_until > clock_timestamp() then w.previous_secret end, w.disabled_at is not null,
            w.failing_since is not null
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

    /// Index: deliveries_of_endpoint.
    static let listStatement = PostgresStatement(
        "list_deliveries",
        """
        select d.id, d.uid, d.environment_id, e.uid, e.type, d.state, d.attempts, d.next_attempt_at, d.last_status,
            d.last_error, d.log, d.created_at, d.delivered_at
        from evergrant.deliveries d join evergrant.events e on e.id = d.event_id
        where d.endpoint_id = $1 and ($2::text is null or d.state = $2) and d.id < $3 order by d.id desc limit $4
        """)

    /// Index: deliveries_waiting.
    static let claimForgottenStatement = PostgresStatement(
        "claim_forgotten_deliveries",
        """
        with forgotten as (
            select id from evergrant.deliveries where state = 'pending' and next_attempt_at < now() - $1::interval
            order by next_attempt_at limit $2 for update skip locked)
        update evergrant.deliveries d set next_attempt_at = now() from forgotten f where d.id = f.id
        returning d.id, d.environment_id
        """)

    /// Index: connections_of_environment, one_event_a_transition, one_delivery_an_event_and_endpoint. A break stands
    /// while the connection is broken in the version of its event.
    static let retellBreaksStatement = PostgresStatement(
        "retell_breaks",
        """
        insert into evergrant.deliveries as d (environment_id, event_id, endpoint_id, next_attempt_at)
        select w.environment_id, e.id, w.id, now()
        from evergrant.webhook_endpoints w
        join evergrant.connections c on c.environment_id = w.environment_id and c.state = 'broken'
        join evergrant.events e on e.connection_id = c.id and e.connection_version = c.version
        left join evergrant.deliveries known on known.event_id = e.id and known.endpoint_id = w.id
        where w.id = $1 and w.disabled_at is null and e.position is not null and e.created_at >= w.created_at
            and (e.type = any(coalesce(w.types, $3)) or '*' = any(w.types))
            and (known.id is null or known.state = 'failed')
        order by e.id limit $2
        on conflict (event_id, endpoint_id) do update set state = 'pending', next_attempt_at = now(),
            deliver_until = now() + interval '3 days'
        where d.state = 'failed'
        returning d.id, d.environment_id
        """)
}
