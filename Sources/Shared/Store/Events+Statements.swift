import Postgres

extension Events {
    /// The event `e` as webhooks and the feed show it. `jsonb` has one spelling, so every try sends the same bytes.
    static let document = """
        jsonb_build_object('id', e.uid, 'type', e.type, 'timestamp', evergrant.rfc3339(e.created_at),
            'data', e.payload)::text
        """

    private static let columns = """
        e.id, e.uid, e.environment_id, e.type, e.connection_id, e.position, e.created_at, \(document)
        """

    /// Index: events_feed.
    static let feedStatement = PostgresStatement(
        "list_feed",
        """
        select \(columns) from evergrant.events e
        where e.environment_id = $1 and e.position > $2 order by e.position limit $3
        """)

    /// Index: events_uid_key.
    static let findStatement = PostgresStatement(
        "find_event", "select \(columns) from evergrant.events e where e.uid = $1 and e.environment_id = $2")

    /// Index: events_of_connection.
    static let listStatement = PostgresStatement(
        "list_events_of_connection",
        "select \(columns) from evergrant.events e where e.connection_id = $1 order by e.id desc limit $2")

    /// Index: events_to_sequence. Lock: the feed heads, to the end of the transaction.
    static let claimFeedsStatement = PostgresStatement(
        "claim_feeds",
        """
        select h.environment_id from evergrant.feed_heads h
        where h.environment_id in (
            select w.environment_id from (
                select e.environment_id from evergrant.events e where e.position is null order by e.id limit $1) w)
        for update skip locked
        """)

    /// Index: events_to_sequence, one_endpoint_a_name. Relies on the lock of `claim_feeds`.
    static let sequenceStatement = PostgresStatement(
        "sequence_events",
        """
        with taken as materialized (                                                -- 1. in order of id
            select e.id, e.environment_id, e.type from evergrant.events e
            where e.position is null and e.environment_id = any($1) order by e.id limit $2),
        heads as (                                                                  -- 2. the feeds move on …
            update evergrant.feed_heads h set position = h.position + t.n
            from (select environment_id, count(*) as n from taken group by environment_id) t
            where h.environment_id = t.environment_id returning h.environment_id, h.position - t.n as base),
        placed as (                                                                 -- 3. … by what they get
            select t.id, t.environment_id, t.type,
                h.base + row_number() over (partition by t.environment_id order by t.id) as position
            from taken t join heads h on h.environment_id = t.environment_id),
        numbered as (
            update evergrant.events e set position = p.position from placed p where e.id = p.id),
        made as (                                                                   -- 4. one delivery an endpoint
            insert into evergrant.deliveries (environment_id, event_id, endpoint_id, next_attempt_at)
            select p.environment_id, p.id, w.id, now() from placed p
            join evergrant.webhook_endpoints w on w.environment_id = p.environment_id and w.disabled_at is null
                and (p.type = any(coalesce(w.types, $3)) or '*' = any(w.types) and p.type like 'connection.%')
            on conflict do nothing returning id, environment_id)
        select c.n, m.id, m.environment_id from (select count(*) as n from taken) c left join made m on true
        order by m.id
        """)

    static let insertTestStatement = PostgresStatement(
        "insert_test_event",
        """
        with event as (
            insert into evergrant.events (environment_id, type, payload)
            select w.environment_id, $2, jsonb_build_object('endpoint', w.uid)
            from evergrant.webhook_endpoints w where w.id = $1 returning id, environment_id)
        insert into evergrant.deliveries (environment_id, event_id, endpoint_id, next_attempt_at)
        select environment_id, id, $1, now() from event returning id, environment_id
        """)
}
