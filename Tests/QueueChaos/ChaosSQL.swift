import Postgres

/// The run's own tables, and the statements over them.
enum ChaosSQL {
    /// Deaths are noted by a trigger: its time lies before the commit that lets rescue see them, so nothing that follows
    /// from a death is older than its note.
    static let schema = """
        create schema chaos;
        create table chaos.effects (
            job bigint not null, attempt int not null, lease bigint not null, worker bigint not null,
            final boolean not null, at timestamptz not null default clock_timestamp());
        create table chaos.fenced (token text primary key, lease bigint not null);
        create table chaos.facts (token text primary key, key text not null, seen_by bigint);
        create index on chaos.facts (key) where seen_by is null;
        create table chaos.deaths (worker bigint not null, at timestamptz not null);
        create function chaos.note_death() returns trigger language plpgsql as $$
        begin
            insert into chaos.deaths values (new.id, clock_timestamp());
            return null;
        end $$;
        create trigger note_death after update of dead on evergrant.workers
            for each row when (new.dead and not old.dead) execute function chaos.note_death();
        """

    static let writeEffect = PostgresStatement(
        "write effect", "insert into chaos.effects (job, attempt, lease, worker, final) values ($1, $2, $3, $4, $5)")
    static let writeFenced = PostgresStatement(
        "write fenced effect", "insert into chaos.fenced values ($1, $2) on conflict do nothing")
    static let writeFacts = PostgresStatement(
        "write facts", "insert into chaos.facts (token, key) select * from unnest($1::text[], $2::text[])")
    /// $1 key, $2 job: the facts that nobody has seen yet are seen.
    static let see = PostgresStatement(
        "see facts", "update chaos.facts set seen_by = $2 where key = $1 and seen_by is null returning token")

    /// What is left to do; a chaos run is over when there is nothing.
    static let waiting = PostgresStatement(
        "count waiting jobs",
        """
        select (select count(*) from evergrant.jobs_ready), (select count(*) from evergrant.jobs_scheduled),
            (select count(*) from evergrant.jobs_parked), (select count(*) from evergrant.leases),
            (select count(*) from evergrant.job_wishes)
        """)

    static let registered = PostgresStatement("count registered", "select count(*) from evergrant.workers")

    static let longLine = 400
    /// Jobs that may run now, counted up to `longLine`.
    static let lineLength = PostgresStatement(
        "measure the line", "select count(*) from (select from evergrant.jobs_ready limit \(longLine)) j")

    static let jobs = PostgresStatement(
        "read all jobs", "select job_id, state, attempt, crashes, args ->> 'token' from evergrant.jobs")
    static let effects = PostgresStatement(
        "read effects", "select job, attempt, lease, worker, final from chaos.effects")
    static let fenced = PostgresStatement("read fenced effects", "select token from chaos.fenced")
    static let facts = PostgresStatement("read facts", "select token, key, seen_by from chaos.facts")
    /// In nanoseconds since 1970.
    static let deaths = PostgresStatement(
        "read deaths", "select worker, (extract(epoch from at) * 1000000)::bigint * 1000 from chaos.deaths")
    static let leftovers = PostgresStatement(
        "read leftovers",
        """
        select 'lease ' || id from evergrant.leases
        union all select 'mark of job ' || job_id from evergrant.lease_marks
        union all select 'wish for key ' || encode(key, 'escape') from evergrant.job_wishes
        union all select 'key ' || encode(key, 'escape') || ' of job ' || job_id from evergrant.job_keys
        union all select 'hold of limit ' || key || ' by job ' || job_id from evergrant.limit_holds
        union all select 'cancel of job ' || job_id from evergrant.job_cancels
        """)

    // MARK: Faults

    /// Statements of ours call `pg_snapshot_xmin` unqualified: a schema before pg_catalog stands in for it. xmax is above
    /// every transaction that has begun, so the mark waits for none of them.
    static let faultyFence = """
        create schema faulty;
        create function faulty.pg_snapshot_xmin(pg_snapshot) returns xid8 language sql stable
            as 'select pg_catalog.pg_snapshot_xmax($1)';
        do $$ begin
            execute format('alter database %I set search_path = faulty, pg_catalog', current_database());
        end $$;
        """

    /// Its signature is the product's.
    static let faultySettle = """
        create or replace function evergrant.settle(lease bigint, me bigint, ids bigint[], acts smallint[],
            delays float8[], notes jsonb[], last boolean) returns int language plpgsql
        set search_path = pg_catalog, evergrant, pg_temp set enable_seqscan = off as $$
        declare
            n int := settle_rows(lease, me, ids, acts, delays, notes);
        begin
            if last then perform close_leases(array[lease], me); end if;
            return n;
        end $$;
        """

    /// Its signature is the product's.
    static let faultyKeys = """
        create or replace function evergrant.enqueue_keyed(space smallint, keys bytea[], queue int, priority smallint,
            kind int, args jsonb[], run_at timestamptz default null, max_attempts smallint default 25,
            limit_key text default null)
        returns table (o_key bytea, o_job bigint, o_what text) language sql
        set search_path = pg_catalog, evergrant, pg_temp as $$
            with u as (select distinct on (x.k) x.k, x.a from unnest($2, $6) x(k, a) order by x.k),
            n as (
                insert into job_keys as w (space, key, queue, priority) select $1, u.k, $3, $4 from u order by u.k
                on conflict do nothing
                returning w.key, w.job_id),
            r as (
                insert into jobs_ready (id, queue, priority, kind, max_attempts, limit_key, args, space, ukey)
                select n.job_id, $3, $4, $5, $8, $9, u.a, $1, u.k from n join u on u.k = n.key)
            select n.key, n.job_id, 'new' from n
            union all
            select w.key, w.job_id, 'waiting' from job_keys w join u on u.k = w.key where w.space = $1
        $$;
        """

    /// Waits between its snapshot and its locks, as a rescue of many leases does.
    static let faultyRescue = PostgresStatement(
        "rescue in one statement",
        """
        with pause as materialized (select pg_sleep(0.03)),
        locked as materialized (
            select l.id from pause, evergrant.leases l
            where not exists (select from evergrant.workers w where w.id = l.worker and not w.dead)
            order by l.id for update of l skip locked),
        t as (delete from evergrant.lease_marks where lease_id in (select id from locked) returning lease_id, job_id),
        x as (delete from evergrant.leases where id in (select id from locked) returning id, worker, jobs)
        select coalesce(evergrant.put(array_agg(evergrant.changed(j, (j.crashes >= 2)::int, 1, jsonb_build_object(
            'type', 'WorkerLost', 'message', 'rescued in one statement', 'attempt', j.attempt + 1, 'at', now(),
            'worker', x.worker), null))), 0)
        from x, unnest(x.jobs) j
        where not exists (select from t where t.lease_id = x.id and t.job_id = coalesce(j.job_id, j.id))
        """)
}
