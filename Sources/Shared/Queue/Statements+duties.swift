import Postgres

extension Statements {
    // MARK: Workers

    static let register = PostgresStatement(
        "register worker", "insert into evergrant.workers (name) values ($1) returning id")

    /// As `register`, with the kinds that it has handlers for.
    static let registerRunner = PostgresStatement(
        "register runner", "insert into evergrant.workers (name, kinds) values ($1, $2::int[]) returning id")

    /// No row: declared dead.
    static let beat = PostgresStatement(
        "beat",
        "update evergrant.workers set beat = beat + 1, beat_at = clock_timestamp() "
            + "where id = $1 and not dead returning beat")

    /// A worker that leaves in order takes its row with it, unless a lease is left for rescue.
    static let unregister = PostgresStatement(
        "unregister worker",
        """
        with gone as (
            delete from evergrant.workers w
            where id = $1 and not exists (select from evergrant.leases l where l.worker = w.id) returning 1)
        update evergrant.workers set dead = true where id = $1 and not exists (select from gone)
        """)

    /// The observer's own beat, and everyone's. $1 observer. No row: the observer was declared dead, or is not there.
    /// The own update is not seen by this statement's snapshot, so every row shows the beat before it.
    static let observe = PostgresStatement(
        "observe workers",
        """
        with own as (update evergrant.workers set beat = beat + 1, beat_at = clock_timestamp()
            where id = $1 and not dead returning 1)
        select w.id, w.beat, extract(epoch from pg_postmaster_start_time())::text || ' '
            || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)
        from evergrant.workers w where not w.dead and exists (select from own)
        """)

    /// $1 worker, $2 the beat that was seen unchanged.
    static let declareDead = PostgresStatement(
        "declare worker dead",
        "update evergrant.workers set dead = true where id = $1 and beat = $2 and not dead returning id")

    static let forgetWorkers = PostgresStatement(
        "forget workers",
        "delete from evergrant.workers w where dead and not exists (select from evergrant.leases l where l.worker = w.id)"
    )

    // MARK: Rescue: two statements in one transaction, read committed

    /// First: the leases of the dead. $1 limit. Leases FOR UPDATE SKIP LOCKED: one whose settle is in flight is left.
    static let rescueLock = PostgresStatement(
        "lock leases of dead workers",
        """
        select l.id from evergrant.leases l
        where not exists (select from evergrant.workers w where w.id = l.worker and not w.dead)
        order by l.id limit $1 for update of l skip locked
        """)

    /// Between them: room under limits goes back. $1 leases. Limits FOR UPDATE by key.
    static let rescueHolds = PostgresStatement(
        "free room of dead workers", "select evergrant.free_holds($1::bigint[], null)")

    /// Second, with its own snapshot: a settle has either committed its mark before the first statement had the lease, or
    /// finds no lease. A crash counts as an attempt only from the third on.
    static let rescueMove = PostgresStatement(
        "rescue jobs",
        """
        with t as (delete from evergrant.lease_marks where lease_id = any($1::bigint[]) returning lease_id, job_id),
        x as (delete from evergrant.leases where id = any($1::bigint[]) returning id, worker, jobs)
        select coalesce(evergrant.put(array_agg(evergrant.changed(j, (j.crashes >= 2)::int, 1, jsonb_build_object(
            'type', 'WorkerLost', 'message', 'its worker stopped answering while it held this job',
            'attempt', j.attempt + 1, 'at', now(), 'worker', x.worker), null))), 0)
        from x, unnest(x.jobs) j
        where not exists (select from t where t.lease_id = x.id and t.job_id = coalesce(j.job_id, j.id))
        """)

    // MARK: Other duties

    /// $1 limit. Index jobs_scheduled_due, FOR UPDATE SKIP LOCKED.
    static let promote = PostgresStatement(
        "promote jobs",
        """
        with d as (
            delete from evergrant.jobs_scheduled where ctid = any(array(
                select ctid from evergrant.jobs_scheduled where run_at <= now()
                order by run_at limit $1 for update skip locked))
            returning run_at, job)
        select coalesce(evergrant.put(array_agg(job order by run_at)), 0) from d
        """)

    static let foldWishes = PostgresStatement("fold wishes", "select evergrant.fold_wishes($1::int)")
    static let makeHistory = PostgresStatement("make days of history", "select evergrant.history_make($1::int)")
    static let dropHistory = PostgresStatement(
        "drop a day of history", "select evergrant.history_drop($1::int, $2::int)")

    /// Reads job_cancels, a row for each running job that was cancelled.
    static let cancels = PostgresStatement("list cancels", "select job_id from evergrant.job_cancels")
    static let repeatCancels = PostgresStatement(
        "repeat cancels", "select count(evergrant.cancel_job(job_id)) from evergrant.job_cancels")

    // MARK: Operators

    /// By index probes of each lane and table; see the function.
    static let find = PostgresStatement(
        "find job",
        """
        select f.state, k.name, q.environment_id, q.name, f.priority, f.attempt, f.max_attempts, f.created_at, f.at,
            f.ukey, f.limit_key, f.errors, f.args
        from evergrant.find_job($1::bigint) f
        left join evergrant.queues q on q.id = f.queue left join evergrant.job_kinds k on k.id = f.kind
        limit 1
        """)
    static let cancel = PostgresStatement("cancel job", "select evergrant.cancel_job($1::bigint)")
    static let retry = PostgresStatement(
        "retry discarded jobs", "select evergrant.retry_discarded($1::int, $2::bigint[], $3::int)")
    static let pauseQueue = PostgresStatement(
        "pause queue", "update evergrant.queues set paused = $3 where environment_id = $1 and name = $2 returning id")

    /// Index jobs_ready_lane, up to $1 entries of each lane.
    static let depths = PostgresStatement(
        "measure depths",
        """
        select q.environment_id, q.name, d.priority, d.jobs, extract(epoch from now() - d.oldest)::float8
        from evergrant.queue_depths($1::int) d left join evergrant.queues q on q.id = d.queue
        """)
}
