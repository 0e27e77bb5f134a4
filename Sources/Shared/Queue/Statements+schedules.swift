import Postgres

extension Statements {
    private static let scheduleColumns = """
        select s.id, s.environment_id, s.name, q.name as queue, k.name as kind, s.args, s.priority, s.limit_key,
            s.max_attempts, s.every_ms, s.cron, s.time_zone, s.anchor_at, s.starts_at, s.ends_at, s.missed, s.overlap,
            s.paused, s.next_at, s.last_at, s.last_job_id, s.fault, s.created_at, s.updated_at, now() as now
        from evergrant.schedules s
        join evergrant.queues q on q.id = s.queue join evergrant.job_kinds k on k.id = s.kind
        """

    // MARK: Operators

    /// $1 environment, null: of all. By name.
    static let listSchedules = PostgresStatement(
        "list schedules",
        "\(scheduleColumns) where $1::bigint is null or s.environment_id = $1 order by s.environment_id, s.name")

    /// $1 environment, $2 name. Index schedules_environment_name.
    static let findSchedule = PostgresStatement(
        "find schedule", "\(scheduleColumns) where s.environment_id = $1 and s.name = $2")

    /// As `findSchedule`, FOR UPDATE: waits for a scheduler that has it.
    static let lockSchedule = PostgresStatement("lock schedule", "\(findSchedule.sql) for update of s")

    static let now = PostgresStatement("read time", "select now()")

    /// $1 environment, $2 name, $3 queue, $4 kind, $5 arguments, $6 priority, $7 limit key, $8 attempts, $9 every, $10 cron,
    /// $11 time zone, $12 anchor, $13 start, $14 end, $15 missed, $16 overlap, $17 next. No row: the name is taken.
    static let insertSchedule = PostgresStatement(
        "insert schedule",
        """
        insert into evergrant.schedules (environment_id, name, queue, kind, args, priority, limit_key, max_attempts,
            every_ms, cron, time_zone, anchor_at, starts_at, ends_at, missed, overlap, next_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
        on conflict (environment_id, name) do nothing returning id
        """)

    /// As `insertSchedule`; its row is locked.
    static let updateSchedule = PostgresStatement(
        "update schedule",
        """
        update evergrant.schedules set queue = $3, kind = $4, args = $5, priority = $6, limit_key = $7,
            max_attempts = $8, every_ms = $9, cron = $10, time_zone = $11, anchor_at = $12, starts_at = $13,
            ends_at = $14, missed = $15, overlap = $16, next_at = $17, fault = null, held_until = null,
            updated_at = now()
        where environment_id = $1 and name = $2 returning id
        """)

    static let removeSchedule = PostgresStatement(
        "remove schedule", "delete from evergrant.schedules where environment_id = $1 and name = $2 returning id")

    /// $1 schedule, $2 paused, $3 next.
    static let pauseSchedule = PostgresStatement(
        "pause schedule",
        """
        update evergrant.schedules set paused = $2, next_at = $3, fault = null, held_until = null, updated_at = now()
        where id = $1
        """)

    /// A run by hand. $1 schedule, $2 job. Two in one microsecond are one run, with the later job.
    static let recordManualRun = PostgresStatement(
        "record manual run",
        """
        with r as (
            insert into evergrant.schedule_ticks (schedule_id, tick, job_id, manual)
            values ($1, clock_timestamp(), $2, true)
            on conflict (schedule_id, tick) do nothing)
        update evergrant.schedules set last_job_id = $2 where id = $1
        """)

    /// $1 schedule, $2 how many. Newest first, by primary key.
    static let listScheduleRuns = PostgresStatement(
        "list runs of schedule",
        """
        select tick, job_id, manual from evergrant.schedule_ticks where schedule_id = $1 order by tick desc limit $2::int
        """)

    // MARK: Ticks

    private static let isDue = "s.next_at <= now() and (s.held_until is null or s.held_until <= now())"

    /// $1 limit. Without lock, so that nothing is written while nothing is due. Index schedules_due.
    static let dueSchedules = PostgresStatement(
        "find due schedules",
        """
        select s.id, s.queue, s.kind from evergrant.schedules s where \(isDue) order by s.next_at limit $1::int
        """)

    /// $1 schedules; those of them that are still due and that no other scheduler has. FOR UPDATE SKIP LOCKED.
    static let lockDueSchedules = PostgresStatement(
        "lock due schedules",
        "\(scheduleColumns) where s.id = any($1::bigint[]) and \(isDue) order by s.next_at for update of s skip locked")

    /// $1 jobs; those that are not finished. A statement of its own: its snapshot must be younger than the lock.
    static let unfinishedJobs = PostgresStatement(
        "find unfinished jobs",
        """
        select j from unnest($1::bigint[]) j
        where exists (
            select from evergrant.find_job(j) f
            where f.state in ('available', 'retryable', 'scheduled', 'parked', 'running'))
        """)

    /// $1 schedules, $2 ticks; returns the places (from 1) of those that were not there.
    static let insertTicks = PostgresStatement(
        "insert ticks",
        """
        with u as (select * from unnest($1::bigint[], $2::timestamptz[]) with ordinality u(id, tick, place)),
        i as (
            insert into evergrant.schedule_ticks (schedule_id, tick) select id, tick from u order by id, tick
            on conflict (schedule_id, tick) do nothing returning schedule_id, tick)
        select u.place from u join i on i.schedule_id = u.id and i.tick = u.tick order by u.place
        """)

    /// $1 schedules, $2 ticks, $3 jobs.
    static let recordTicks = PostgresStatement(
        "record jobs of ticks",
        """
        update evergrant.schedule_ticks t set job_id = u.job
        from unnest($1::bigint[], $2::timestamptz[], $3::bigint[]) u(id, tick, job)
        where t.schedule_id = u.id and t.tick = u.tick
        """)

    /// $1 schedules, $2 next ticks, $3 latest ticks, $4 their jobs, 0: none.
    static let advanceSchedules = PostgresStatement(
        "advance schedules",
        """
        update evergrant.schedules s
        set next_at = u.next, last_at = greatest(s.last_at, u.last), last_job_id = coalesce(nullif(u.job, 0), s.last_job_id),
            fault = null, held_until = null
        from unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[], $4::bigint[]) u(id, next, last, job)
        where s.id = u.id
        """)

    /// $1 schedules, $2 what is wrong with each.
    static let holdSchedules = PostgresStatement(
        "hold schedules",
        """
        update evergrant.schedules s set fault = u.fault, held_until = now() + interval '1 minute'
        from unnest($1::bigint[], $2::text[]) u(id, fault) where s.id = u.id
        """)

    /// $1 age in seconds, $2 limit. Index schedule_ticks_age.
    static let pruneTicks = PostgresStatement(
        "prune ticks",
        """
        with d as (
            delete from evergrant.schedule_ticks where (schedule_id, tick) in (
                select schedule_id, tick from evergrant.schedule_ticks
                where enqueued_at < now() - $1::float8 * interval '1 second'
                order by enqueued_at limit $2::int for update skip locked)
            returning 1)
        select count(*) from d
        """)
}
