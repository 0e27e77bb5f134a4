import Postgres

/// Lists of jobs. Parameters: $1 state, $2 kind, $3 queues, $4 limit, $5 and $6 the place after which to begin; any but $4
/// may be null. Columns as `JobRecord` reads them, then job_id and the place. No locks.
extension Statements {
    /// To the end of the transaction: read in the order of an index and stop at the limit. Without it a planner that takes
    /// a table for small, or expects few rows to pass the filters, reads all of it and sorts.
    static let readInOrder = PostgresStatement(
        "read in order",
        "select set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true), "
            + "set_config('enable_sort', 'off', true)")

    private static func list(
        _ name: String, state: String, jobID: String, at: String, job: String, from: String, filter: String = "true",
        first: String, second: String, order: String
    ) -> PostgresStatement {
        PostgresStatement(
            name,
            """
            select x.state, k.name, q.environment_id, q.name, (x.job).priority, (x.job).attempt, (x.job).max_attempts,
                (x.job).created_at, x.at, (x.job).ukey, (x.job).limit_key, (x.job).errors, (x.job).args, x.job_id,
                x.first, x.second
            from (
                select \(state) as state, \(jobID) as job_id, \(at) as at, \(job) as job, \(first) as first,
                    \(second) as second
                from \(from)
                where ($2::int is null or (\(job)).kind = $2) and ($3::int[] is null or (\(job)).queue = any($3))
                  and ($1::text is null or \(state) = $1) and \(filter)
                order by \(order) limit $4::int) x
            left join evergrant.queues q on q.id = (x.job).queue
            left join evergrant.job_kinds k on k.id = (x.job).kind
            order by \(order.contains("desc") ? "x.first desc, x.second desc" : "x.first, x.second")
            """)
    }

    /// Oldest lease first; leases has a row for each batch under way.
    static let listRunning = list(
        "list running jobs", state: "'running'", jobID: "coalesce(j.job_id, j.id)", at: "null::timestamptz", job: "j",
        from: "evergrant.leases l, unnest(l.jobs) j",
        filter: """
            not exists (select from evergrant.lease_marks m
                where m.lease_id = l.id and m.job_id = coalesce(j.job_id, j.id))
            and (l.id, coalesce(j.job_id, j.id)) > (coalesce($5::bigint, 0), coalesce($6::bigint, 0))
            """,
        first: "l.id", second: "coalesce(j.job_id, j.id)", order: "l.id, coalesce(j.job_id, j.id)")

    /// In lane order: queue and priority make the first number. Index jobs_ready_lane.
    static let listReady = list(
        "list jobs in line", state: "case when r.attempt > 0 then 'retryable' else 'available' end",
        jobID: "coalesce(r.job_id, r.id)", at: "null::timestamptz", job: "r", from: "evergrant.jobs_ready r",
        filter: """
            (r.queue, r.priority, r.id) > (coalesce($5::bigint >> 16, 0)::int,
                (coalesce($5::bigint & 65535, 0) - 32768)::smallint, coalesce($6::bigint, 0))
            """,
        first: "(r.queue::bigint << 16) + r.priority + 32768", second: "r.id", order: "r.queue, r.priority, r.id")

    /// Soonest first. Index jobs_scheduled_due. The first number is microseconds.
    static let listScheduled = list(
        "list scheduled jobs", state: "case when (s.job).attempt > 0 then 'retryable' else 'scheduled' end",
        jobID: "s.job_id", at: "s.run_at", job: "s.job", from: "evergrant.jobs_scheduled s",
        filter: """
            s.run_at >= coalesce('epoch'::timestamptz + $5::bigint * interval '1 microsecond', '-infinity')
            and (s.run_at, s.job_id) > (
                coalesce('epoch'::timestamptz + $5::bigint * interval '1 microsecond', '-infinity'),
                coalesce($6::bigint, 0))
            """,
        first: "(extract(epoch from s.run_at) * 1000000)::bigint", second: "s.job_id", order: "s.run_at, s.job_id")

    /// By primary key.
    static let listParked = list(
        "list parked jobs", state: "'parked'", jobID: "p.job_id", at: "p.parked_at", job: "p.job",
        from: "evergrant.jobs_parked p", filter: "p.job_id > coalesce($5::bigint + 0 * $6::bigint, 0)",
        first: "p.job_id", second: "0::bigint", order: "p.job_id")

    /// Newest first, by primary key.
    static let listDiscarded = list(
        "list discarded jobs", state: "'discarded'", jobID: "d.job_id", at: "d.discarded_at", job: "d.job",
        from: "evergrant.jobs_discarded d",
        filter: "d.job_id < coalesce($5::bigint + 0 * $6::bigint, 9223372036854775807)",
        first: "d.job_id", second: "0::bigint", order: "d.job_id desc")

    /// Newest first; without a state, completed ones are left out. Reads partitions of days.
    static let listFinished = PostgresStatement(
        "list finished jobs",
        """
        select x.state, k.name, q.environment_id, q.name, null::smallint, x.attempt, null::smallint, x.created_at,
            x.finished_at, null::bytea, null::text, x.errors, x.args, x.job_id,
            (extract(epoch from x.finished_at) * 1000000)::bigint as first, x.job_id as second
        from (
            select *, case f.outcome when 0 then 'completed' when 5 then 'deleted' else 'cancelled' end as state
            from evergrant.jobs_finished f
            where long = ($1::text is distinct from 'completed')
              and ($1::text is null or outcome = case $1 when 'completed' then 0 when 'deleted' then 5 else 6 end)
              and ($2::int is null or kind = $2) and ($3::int[] is null or queue = any($3))
              and ($5::bigint is null or (finished_at, job_id) < (
                  'epoch'::timestamptz + $5::bigint * interval '1 microsecond', $6::bigint))
            order by finished_at desc, job_id desc limit $4::int) x
        left join evergrant.queues q on q.id = x.queue
        left join evergrant.job_kinds k on k.id = x.kind
        order by x.finished_at desc, x.job_id desc
        """)
}
