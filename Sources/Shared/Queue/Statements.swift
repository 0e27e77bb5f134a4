import Postgres

/// Every statement of the queue. Names are written out: behind a transaction pooler no search_path can be relied on.
///
/// `ctid = any(array(…))` is planned as a Tid Scan only while sequential scans are discouraged; a session with
/// `JobQueue.sessionSettings` has that for life, and no result depends on it.
enum Statements {
    // MARK: Names

    /// $1 environments, $2 names of queues, one each; makes those that are missing. Index queues_environment_name.
    static let nameQueues = PostgresStatement(
        "name queues",
        """
        with want as (select distinct e, n from unnest($1::bigint[], $2::text[]) w(e, n)),
        there as (select q.id, q.environment_id, q.name from evergrant.queues q
            join want on q.environment_id = e and q.name = n),
        made as (insert into evergrant.queues (environment_id, name)
            select e, n from want where not exists (select from there where environment_id = e and name = n)
            order by e, n on conflict do nothing returning id, environment_id, name)
        select * from there union all select * from made
        """)

    /// $1 names of kinds; makes those that are missing. Index job_kinds_name.
    static let nameKinds = PostgresStatement(
        "name kinds",
        """
        with want as (select distinct n from unnest($1::text[]) w(n)),
        there as (select k.id, k.name from evergrant.job_kinds k join want on k.name = n),
        made as (insert into evergrant.job_kinds (name)
            select n from want where not exists (select from there where name = n)
            order by n on conflict do nothing returning id, name)
        select * from there union all select * from made
        """)

    /// By primary key.
    static let findQueues = PostgresStatement(
        "find queues", "select id, environment_id, name from evergrant.queues where id = any($1::int[])")

    /// By primary key.
    static let findKinds = PostgresStatement(
        "find kinds", "select id, name from evergrant.job_kinds where id = any($1::int[])")

    /// Index queues_environment_name.
    static let environmentQueues = PostgresStatement(
        "list queues of environment", "select id from evergrant.queues where environment_id = $1")

    // MARK: Enqueue

    /// Jobs without key that are due now, in one plain insert: the hot path. Job ids in the order of the arrays. $1 queues,
    /// $2 kinds, $3 priorities, $4 attempts, $5 limit keys, $6 arguments.
    static let enqueue = PostgresStatement(
        "enqueue jobs",
        """
        insert into evergrant.jobs_ready (queue, kind, priority, max_attempts, limit_key, args)
        select * from unnest($1::int[], $2::int[], $3::smallint[], $4::smallint[], $5::text[], $6::jsonb[])
        returning id
        """)

    /// As `enqueue`, with $6 times and $7 arguments.
    static let schedule = PostgresStatement(
        "schedule jobs",
        "select * from evergrant.enqueue_jobs($1::int[], $2::int[], $3::smallint[], $4::smallint[], $5::text[], "
            + "$6::timestamptz[], $7::jsonb[])")

    /// $1 keys, $2 queue, $3 priority, $4 kind, $5 arguments, $6 time, $7 attempts, $8 limit key. Locks the rows of
    /// job_keys to the end of the transaction, in key order.
    static let enqueueKeyed = PostgresStatement(
        "enqueue keyed jobs",
        "select o_key, o_job, o_what from evergrant.enqueue_keyed(0::smallint, $1::bytea[], $2::int, $3::smallint, "
            + "$4::int, $5::jsonb[], $6::timestamptz, $7::smallint, $8::text)")

    /// $1 channel; $2–$4 lanes with the first id put there. Notifies if one of the lanes has none of the 64 ids before it,
    /// or if no lane is given. Index jobs_ready_lane, at most 64 entries a lane, dead ones included.
    static let notify = PostgresStatement(
        "notify runners",
        """
        select pg_notify($1::text, '')
        where cardinality($2::int[]) = 0 or exists (
            select from unnest($2::int[], $3::smallint[], $4::bigint[]) l(q, p, first)
            where not exists (
                select from evergrant.jobs_ready j
                where j.queue = l.q and j.priority = l.p and j.id >= l.first - 64 and j.id < l.first))
        """)

    // MARK: Claim and settle

    /// Which server this is: when it was started. Ids are only comparable within one, for a failover can move the sequence
    /// back; a session number would miss a failover behind a pooler.
    private static let server = "extract(epoch from pg_postmaster_start_time())::float8"

    /// Settles whole leases and claims the next batch: one round trip, one commit.
    ///
    /// $1 leases of which every job is completed, none settled singly and no settle of one in flight (leases with keys or
    /// marks are refused: they go through `settleHeld`); $2 worker; $3–$6 this round's lanes: queue, priority, low, how
    /// many; $7 the server that the lows are from: on another one they count as 0. Always at least one row. `settled`: how
    /// many of $1 were still ours. A worker declared dead claims nothing.
    ///
    /// Index jobs_ready_lane for each lane, FOR UPDATE SKIP LOCKED; leases by primary key. `waited` only for first runs
    /// of jobs that were due when enqueued.
    static let settleAndClaim = PostgresStatement(
        "settle and claim jobs",
        """
        with done as (
            delete from evergrant.leases l
            where id = any($1::bigint[]) and worker = $2 and not keyed
              and not exists (select from evergrant.lease_marks m where m.lease_id = l.id)
            returning jobs),
        history as (
            insert into evergrant.jobs_finished
                (long, outcome, attempt, queue, kind, job_id, created_at, errors, args)
            select false, 0, j.attempt + 1, j.queue, j.kind, coalesce(j.job_id, j.id), j.created_at, j.errors, j.args
            from done, unnest(done.jobs) j),
        server as materialized (select \(server) = $7::float8 as same),
        claimed as (
            delete from evergrant.jobs_ready where ctid = any(array(
                select x.ctid
                from evergrant.workers w, unnest($3::int[], $4::smallint[], $5::bigint[], $6::int[]) l(q, p, low, want),
                lateral (
                    select ctid from evergrant.jobs_ready
                    where queue = l.q and priority = l.p and id >= case when (select same from server) then l.low else 0 end
                    order by queue, priority, id limit l.want for update skip locked) x
                where w.id = $2 and not w.dead))
            returning coalesce(job_id, id) job_id, kind, queue, priority, attempt, max_attempts, crashes, limit_key, args,
                ukey is not null keyed,
                case when job_id is null then extract(epoch from now() - created_at)::float8 end waited,
                jobs_ready as job),
        lease as (
            insert into evergrant.leases (worker, keyed, jobs)
            select $2, bool_or(keyed), array_agg(job) from claimed having count(*) > 0
            returning id, keyed)
        select d.settled, c.lease, c.lease_keyed, c.job_id, c.kind, c.queue, c.priority, c.attempt, c.max_attempts,
            c.crashes, c.limit_key, c.args, c.waited
        from (select count(*) settled from done) d
        left join (
            select lease.id lease, lease.keyed lease_keyed, claimed.* from claimed, lease) c on true
        """)

    /// $1 a duration, to the end of the transaction.
    static let limitLockWaits = PostgresStatement(
        "limit lock waits", "select set_config('lock_timeout', $1, true)")

    /// Some jobs of one lease, on behalf of handlers. $1 lease, $2 worker, $3 jobs, $4 acts, $5 delays, $6 notes, $7 last.
    /// Lease FOR KEY SHARE (last: FOR UPDATE), then its marks, then its keys in order.
    static let settleHeld = PostgresStatement(
        "settle jobs",
        "select held, settled, open_jobs from evergrant.settle_held($1::bigint, $2::bigint, $3::bigint[], "
            + "$4::smallint[], $5::float8[], $6::jsonb[], $7::boolean)")

    /// One job inside its handler's transaction; raises EG001 when the lease is lost. Locks as `settleHeld`.
    static let settle = PostgresStatement(
        "settle job",
        "select evergrant.settle($1::bigint, $2::bigint, array[$3::bigint], array[$4::smallint], array[$5::float8], "
            + "array[$6::jsonb], $7::boolean)")

    /// As `settle`, but false where that raises.
    static let settleIfMine = PostgresStatement(
        "settle job if mine",
        "select evergrant.settle_if_mine($1::bigint, $2::bigint, $3::bigint, $4::smallint, $5::float8, $6::jsonb, "
            + "$7::boolean)")

    /// $1 leases, $2 worker. Leases FOR UPDATE in order of id.
    static let closeLeases = PostgresStatement(
        "close leases", "select lease, open_jobs from evergrant.close_leases($1::bigint[], $2::bigint)")

    /// Leases of worker $1 other than $2. Reads leases, which has a row for each batch under way.
    static let strayLeases = PostgresStatement(
        "find stray leases", "select id from evergrant.leases where worker = $1 and id <> all($2::bigint[])")

    /// Leases FOR UPDATE in order of id.
    static let releaseLeases = PostgresStatement(
        "release leases", "select evergrant.release_leases($1::bigint[], $2::bigint)")

    // MARK: Lanes and the low-water mark

    /// Which lanes are not empty, and the first id of each. $1–$3: known lanes in order with their low, the last one the
    /// sentinel (2147483647, 32767, 0); $4 the server that the lows are from. Known lanes are probed at their low and only the gaps between them are searched,
    /// so dead index entries behind a low cost nothing. Index jobs_ready_lane.
    ///
    /// Plain bounds instead of `(queue, priority) < (…)`: as an upper bound a row comparison does not stop the index scan
    /// inside a queue.
    static let lanes = PostgresStatement(
        "find lanes",
        """
        with recursive server as materialized (select \(server) = $4::float8 as same),
        r(q, p, i, id) as (
            select -2147483648, (-32768)::smallint, 1, null::bigint
            union all
            select x.* from r,
            lateral (select ($1::int[])[r.i] q, ($2::smallint[])[r.i] p, ($3::bigint[])[r.i] low) k,
            lateral (
                (select j.queue, j.priority, r.i, j.id from evergrant.jobs_ready j
                 where j.queue = r.q and j.priority > r.p
                   and j.priority < case when k.q = r.q then k.p else 32767 end
                 order by j.queue, j.priority, j.id limit 1)
                union all
                (select j.queue, j.priority, r.i, j.id from evergrant.jobs_ready j
                 where j.queue > r.q and j.queue < k.q
                 order by j.queue, j.priority, j.id limit 1)
                union all
                (select j.queue, j.priority, r.i, j.id from evergrant.jobs_ready j
                 where k.q > r.q and j.queue = k.q and j.priority < k.p
                 order by j.queue, j.priority, j.id limit 1)
                union all
                (select k.q, k.p, r.i + 1, (
                    select j.id from evergrant.jobs_ready j
                    where j.queue = k.q and j.priority = k.p
                      and j.id >= case when (select same from server) then k.low else 0 end
                    order by j.queue, j.priority, j.id limit 1)
                 where k.q is not null)
                limit 1) x)
        select r.q, r.p, r.id from r
        where r.id is not null and not exists (select from evergrant.queues z where z.id = r.q and z.paused)
        """)

    /// S0: the last id drawn; 0 when none was (an unused sequence says 1). And the server that says so.
    static let lastID = PostgresStatement(
        "read last id",
        "select case when is_called then last_value else last_value - 1 end, \(server) from evergrant.job_ids")

    /// X0: a transaction id of our own, taken after S0.
    static let fence = PostgresStatement("draw fence", "select pg_current_xact_id()")

    /// $1 X0, $2 S0, $3–$5 lanes with their low, $6 the server of all these. No row until every transaction up to X0 is
    /// over, nor on another server; then one for each lane: the lowest id that can still matter. Index jobs_ready_lane.
    static let low = PostgresStatement(
        "raise low-water marks",
        """
        select l.q, l.p, least((
            select j.id from evergrant.jobs_ready j
            where j.queue = l.q and j.priority = l.p and j.id >= l.low and j.id <= $2::bigint
            order by j.queue, j.priority, j.id limit 1), $2::bigint + 1)
        from unnest($3::int[], $4::smallint[], $5::bigint[]) l(q, p, low)
        where pg_snapshot_xmin(pg_current_snapshot()) > $1::xid8 and \(server) = $6::float8
        """)
}
