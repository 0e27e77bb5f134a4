import Postgres

/// What operators see and do: counts, depths, explanations, redrives, workers. No locks but where said.
extension Statements {
    // MARK: Counts and depths

    /// $1 queues, $2 priorities, $3 counts, seven for each lane. Rows of lane_counts in order of lane.
    static let foldCounts = PostgresStatement(
        "fold counts", "select evergrant.fold_counts($1::int[], $2::smallint[], $3::bigint[])")

    /// $1 environment or null, $2 cap. Indexes: see the function.
    static let lanesNow = PostgresStatement(
        "measure lanes",
        """
        select environment_id, queue, paused, priority, jobs, is_capped,
            extract(epoch from now() - oldest)::float8, running, due_soon, per_minute, ever
        from evergrant.lanes_now($1::bigint, $2::int)
        """)

    /// $1 cap. Index jobs_parked_reason.
    static let parkedNow = PostgresStatement(
        "measure parked jobs", "select reason, limit_key, jobs from evergrant.parked_now($1::int)")

    /// $1 environment or null, $2 cap. Index jobs_discarded_place.
    static let discardedNow = PostgresStatement(
        "measure discarded jobs",
        """
        select environment_id, queue, kind, jobs, oldest from evergrant.discarded_now($1::bigint, $2::int)
        order by environment_id, queue, kind
        """)

    /// $1 environment. Index queues_environment_name.
    static let queueNames = PostgresStatement(
        "list queues",
        "select name, paused from evergrant.queues where environment_id = $1::bigint order by name")

    /// Paused queues of all environments. Reads queues, which has a row for each queue ever used.
    static let pausedQueues = PostgresStatement(
        "list paused queues",
        "select environment_id, name from evergrant.queues where paused order by environment_id, name")

    // MARK: One job

    /// $1 job. Indexes: see the function.
    static let explain = PostgresStatement("explain job", "select evergrant.explain_job($1::bigint)")

    /// $1 key as stored. Primary key of job_keys.
    static let keyHolder = PostgresStatement(
        "find job of key", "select job_id, wishes from evergrant.key_holder(0::smallint, $1::bytea)")

    /// Unlike `nameKinds` makes none. Index job_kinds_name.
    static let kindNamed = PostgresStatement(
        "find kind by name", "select id, name from evergrant.job_kinds where name = $1::text")

    // MARK: Discarded jobs

    /// $1 kind, $2 environment or null, $3 type of error or null, $4 since or null, $5 how many to look at. Index
    /// jobs_discarded_place.
    static let previewDiscarded = PostgresStatement(
        "preview discarded jobs",
        """
        select o_type, o_jobs, o_oldest, o_newest, o_example, o_example_job, o_all
        from evergrant.discarded_preview($1::int, $2::bigint, $3::text, $4::timestamptz, $5::int)
        """)

    /// $1 kind, $2 environment or null. Index jobs_discarded_place. And the moment, to end at.
    static let discardedQueues = PostgresStatement(
        "list queues of discarded jobs",
        "select q, now() from evergrant.discarded_queues($1::int, $2::bigint) q")

    /// $1 queue, $2 kind, $3 type of error or null, $4 since, $5 until, $6 and $7 the place after which to begin, $8 how
    /// many to look at, $9 how many to move, $10 delete instead of run again. Jobs FOR UPDATE SKIP LOCKED, keys in order.
    static let redrive = PostgresStatement(
        "redrive discarded jobs",
        """
        select o_looked, o_chosen, o_moved, o_at, o_job, o_more from evergrant.redrive(
            $1::int, $2::int, $3::text, $4::timestamptz, $5::timestamptz, $6::timestamptz, $7::bigint, $8::int, $9::int,
            $10::boolean)
        """)

    /// $1 jobs. By primary key, FOR UPDATE SKIP LOCKED.
    static let deleteDiscarded = PostgresStatement(
        "delete discarded jobs", "select evergrant.delete_these($1::bigint[])")

    // MARK: Workers

    /// Reads workers, a row for each process, and leases, one for each batch under way.
    static let workers = PostgresStatement(
        "list workers",
        """
        select w.id, w.name, w.started_at, w.beat, extract(epoch from now() - coalesce(w.beat_at, w.started_at))::float8,
            w.dead, w.kinds is not null,
            (select array_agg(k.name order by k.name) from evergrant.job_kinds k where k.id = any(w.kinds)),
            (select coalesce(sum(cardinality(l.jobs)), 0) - (
                select count(*) from evergrant.lease_marks m
                where m.lease_id in (select x.id from evergrant.leases x where x.worker = w.id))
             from evergrant.leases l where l.worker = w.id)
        from evergrant.workers w order by w.id
        """)
}
