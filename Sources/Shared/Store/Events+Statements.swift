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

    /// Index: events_feed. One snapshot for the feed's ends and its rows: at least one row, whose event may be null.
    static let feedStatement = PostgresStatement(
        "list_feed",
        """
        select h.pruned, h.position, f.* from evergrant.feed_heads h
        left join lateral (
            select \(columns) from evergrant.events e
            where e.environment_id = $1 and e.position > greatest($2, h.pruned)
                and ($4::text[] is null or e.type = any($4))
            order by e.position limit $3) f on true
        where h.environment_id = $1 order by f.position
        """)

    /// The same of one connection. Index: events_of_connection; its few rows are sorted.
    static let feedOfConnectionStatement = PostgresStatement(
        "list_feed_of_connection",
        """
        select h.pruned, h.position, f.* from evergrant.feed_heads h
        left join lateral (
            select \(columns) from evergrant.events e
            where e.connection_id = $5 and e.environment_id = $1 and e.position > greatest($2, h.pruned)
                and ($4::text[] is null or e.type = any($4))
            order by e.position limit $3) f on true
        where h.environment_id = $1 order by f.position
        """)

    static let headsStatement = PostgresStatement(
        "feed_heads", "select environment_id, position from evergrant.feed_heads where environment_id = any($1)")

    /// Index: events_feed, one_delivery_an_event_and_endpoint. Takes the oldest $3 of each feed, and of them those before
    /// the first that is young or still to be delivered. Breaks that stand stay in the table, out of the feed, so that an
    /// endpoint that comes back can be told.
    static let pruneStatement = PostgresStatement(
        "prune_events",
        """
        with head as (                                                              -- 1. one pruner a feed
            select environment_id, pruned from evergrant.feed_heads where environment_id = $1 for update skip locked),
        oldest as materialized (                                                    -- 2. what may go
            select e.id, e.position, e.connection_id, e.connection_version, e.type,
                e.created_at >= now() - $2::interval or exists (
                    select from evergrant.deliveries d where d.event_id = e.id and d.state = 'pending') as stays
            from head h join evergrant.events e on e.environment_id = $1 and e.position > h.pruned
            order by e.position limit $3),
        gone as materialized (                                                      -- 3. up to the first that stays
            select o.*, c.id is not null as stands from oldest o
            left join evergrant.connections c on o.type = 'connection.broken' and c.id = o.connection_id
                and c.version = o.connection_version and c.state = 'broken'
            where o.position < coalesce((select min(position) from oldest where stays), 9223372036854775807)),
        moved as (                                                                  -- 4. the feed begins later
            update evergrant.feed_heads set pruned = (select max(position) from gone)
            where environment_id = $1 and exists (select from gone) returning pruned)
        select (select count(*) from gone), (select max(pruned) from moved),
            coalesce((select array_agg(id) from gone where not stands), '{}'::bigint[])
        """)

    /// Index: events_feed. What stayed for its break, and whose break is over.
    static let outlivedStatement = PostgresStatement(
        "outlived_events",
        """
        select e.id from evergrant.feed_heads h
        join evergrant.events e on e.environment_id = h.environment_id and e.position <= h.pruned
        left join evergrant.connections c on c.id = e.connection_id
        where h.environment_id = $1 and (c.id is null or c.version <> e.connection_version)
        order by e.position limit $2
        """)

    /// Index: one_delivery_an_event_and_endpoint.
    static let deleteDeliveriesStatement = PostgresStatement(
        "prune_deliveries_of_events", "delete from evergrant.deliveries where event_id = any($1)")
    static let deleteStatement = PostgresStatement(
        "delete_events", "delete from evergrant.events where id = any($1)")

    static let environmentsStatement = PostgresStatement(
        "list_feeds", "select environment_id from evergrant.feed_heads order by environment_id")

    static let insertStatement = PostgresStatement(
        "insert_event", "insert into evergrant.events (environment_id, type, payload) values ($1, $2, $3) returning uid"
    )

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
            insert into evergrant.deliveries (environment_id, event_id, endpoint_id, next_attempt_at, deliver_until)
            select p.environment_id, p.id, w.id, now(), now() + $4::interval from placed p
            join evergrant.webhook_endpoints w on w.environment_id = p.environment_id and w.disabled_at is null
                and (p.type = any(coalesce(w.types, $3)) or '*' = any(w.types) and p.type like 'connection.%')
            on conflict do nothing returning id, environment_id, endpoint_id)
        select c.n, m.id, m.environment_id, w.uid from (select count(*) as n from taken) c left join made m on true
        left join evergrant.webhook_endpoints w on w.id = m.endpoint_id
        order by m.id
        """)

    static let insertTestStatement = PostgresStatement(
        "insert_test_event",
        """
        with event as (
            insert into evergrant.events (environment_id, type, payload)
            select w.environment_id, $2, jsonb_build_object('endpoint', w.uid)
            from evergrant.webhook_endpoints w where w.id = $1 returning id, environment_id),
        made as (
            insert into evergrant.deliveries (environment_id, event_id, endpoint_id, next_attempt_at)
            select environment_id, id, $1, now() from event returning id, environment_id)
        select m.id, m.environment_id, w.uid from made m join evergrant.webhook_endpoints w on w.id = $1
        """)
}
