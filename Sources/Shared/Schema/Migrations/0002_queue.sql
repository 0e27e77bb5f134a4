-- The job queue: jobs in a table for each state, leases of whole batches, unique keys, workers, history by day.
--
-- Isolation is read committed throughout: the functions rely on each statement seeing what committed before it began.
-- Locks are taken in this order, whoever takes them: lease, lease_marks, job_keys (by space and key), pauses, job rows.
-- `enable_seqscan = off` on a function keeps a plan that was made while a table was small from reading all of it later;
-- nothing but speed depends on it.

set local search_path = evergrant, pg_temp;

-- == 1. Names =======================================================================================================

-- Ids are small so that the lane index is; nothing is ever deleted here, so processes may cache them for life.
create table queues (
    id int generated always as identity primary key,
    environment_id bigint not null,
    name text not null constraint queues_name_length check (length(name) between 1 and 200),
    paused boolean not null default false,
    constraint queues_environment_name unique (environment_id, name)
);
create table job_kinds (
    id int generated always as identity primary key,
    name text not null constraint job_kinds_name_length check (length(name) between 1 and 200),
    constraint job_kinds_name unique (name)
);

-- == 2. Jobs, a table for each state ================================================================================

create sequence job_ids;  -- CACHE 1: the low-water mark's fence reads last_value

-- 2.1 What may run now. Rows are inserted and deleted, never updated.
--
-- `id` is the place in line; `job_id` is the stable id that users see, null while it is the same as `id` (a job that
-- was never queued again; 8 bytes saved and one index fewer to enter).
--
-- The default of `id` is one half of the low-water mark's fence: whoever holds an id holds a transaction id first, so a
-- scout that sees every older transaction finished has seen every older id. Never insert an id drawn in another
-- transaction, or without a transaction id.
create table jobs_ready (
    id bigint not null default case when pg_current_xact_id() is not null then nextval('evergrant.job_ids') end,
    job_id bigint,
    created_at timestamptz not null default now(),
    queue int not null,
    kind int not null,
    priority smallint not null,
    attempt smallint not null default 0,        -- attempts used up so far
    max_attempts smallint not null default 25,
    crashes smallint not null default 0,        -- workers that died while they held it
    space smallint,                             -- with ukey: its unique key in job_keys
    ukey bytea,
    limit_key text,
    errors jsonb,                               -- array of {type, message, attempt, at, worker}, oldest first
    args jsonb not null
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
create index jobs_ready_lane on jobs_ready (queue, priority, id);               -- the only index a fresh job enters
create index jobs_ready_again on jobs_ready (job_id) where job_id is not null;  -- jobs that were queued again

-- 2.2 Due later: first runs, retries and snoozes. `promote` moves what is due to jobs_ready.
create table jobs_scheduled (
    run_at timestamptz not null,
    job_id bigint not null,
    job jobs_ready not null
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
create index jobs_scheduled_due on jobs_scheduled (run_at);
create index jobs_scheduled_job on jobs_scheduled (job_id);

-- 2.3 Claimed, but not allowed to run for now; `resume` moves them back.
create table jobs_parked (
    job_id bigint primary key,
    reason text not null,
    limit_key text not null,
    parked_at timestamptz not null default now(),
    job jobs_ready not null
);
create index jobs_parked_reason on jobs_parked (reason, limit_key);

-- 2.4 Attempts used up: kept until a person decides.
create table jobs_discarded (
    job_id bigint primary key,
    discarded_at timestamptz not null default now(),
    job jobs_ready not null
);

-- 2.5 Being run: one row for each claimed batch, with its jobs. Its worker moves them on by settling; when the worker is
-- dead, rescue puts back those that have no mark.
create table leases (
    id bigint generated always as identity primary key,
    worker bigint not null,
    keyed boolean not null,                     -- some job has a unique key: settled by function only
    jobs jobs_ready[] not null
) with (autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

do $$
begin
    execute 'alter table evergrant.leases alter jobs set compression lz4';
exception when others then
    null;  -- before version 14, or built without lz4: the default compression serves
end $$;

-- 2.6 Jobs of a living lease that were settled one by one.
create table lease_marks (
    lease_id bigint,
    job_id bigint,
    primary key (lease_id, job_id)
) with (autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

-- 2.7 Outcomes: by life span (`long`: everything but plain success), then by day.
-- outcome: 0 completed, 5 discarded and then deleted, 6 cancelled. No day, no settle: history_make runs daily.
create table jobs_finished (
    long boolean not null,
    outcome smallint not null constraint jobs_finished_outcome check (outcome in (0, 5, 6)),
    attempt smallint not null,
    queue int not null,
    kind int not null,
    job_id bigint not null,
    created_at timestamptz not null,
    finished_at timestamptz not null default now(),
    errors jsonb,
    args jsonb
) partition by list (long);
create table jobs_finished_short partition of jobs_finished for values in (false) partition by range (finished_at);
create table jobs_finished_long partition of jobs_finished for values in (true) partition by range (finished_at);
-- No autosummarize: at full rate its queue overflows, one log line for each range.
create index jobs_finished_job on jobs_finished using brin (job_id, finished_at) with (pages_per_range = 16);

-- == 3. Keys, workers, pauses =======================================================================================

-- Unique keys of unfinished jobs. space 0: Evergrant's own, 1: the app's. queue and priority say where a fresh job
-- lies. again_at: wanted once more while it was leased; its settle enqueues that run.
create table job_keys (
    space smallint,
    key bytea,
    job_id bigint not null
        default case when pg_current_xact_id() is not null then nextval('evergrant.job_ids') end,
    queue int not null,
    priority smallint not null,
    again_at timestamptz,
    again_priority smallint,
    primary key (space, key)
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

-- Keyed enqueues that would have had to wait for a stranger's open transaction; fold_wishes makes them jobs.
create table job_wishes (
    id bigint generated always as identity primary key,
    space smallint not null,
    key bytea not null,
    queue int not null,
    priority smallint not null,
    kind int not null,
    max_attempts smallint not null,
    limit_key text,
    args jsonb not null,
    run_at timestamptz not null
);

-- One row for each process that beats. An observer declares it dead when it saw the same beat for long enough; never by
-- a comparison of times, which a failover or a clock change would make wrong for the whole fleet at once.
create table workers (
    id bigint generated always as identity primary key,
    name text not null,
    started_at timestamptz not null default now(),
    beat bigint not null default 0,
    dead boolean not null default false
) with (fillfactor = 50);

create table pauses (  -- reason: 'kind' or 'limit'
    reason text,
    limit_key text,
    primary key (reason, limit_key)
);

create table job_cancels (job_id bigint primary key);  -- asked for while running; workers read it with each beat

-- == 4. Days of history =============================================================================================

-- Makes the days from yesterday to `days` ahead; returns how many were missing. Run at start and daily. ATTACH takes
-- SHARE UPDATE EXCLUSIVE on the parent, so open readers and inserts go on. Owner's rights: partitions need them.
create function history_make(days int) returns int
language plpgsql security definer
set search_path = pg_catalog, evergrant, pg_temp set lock_timeout = '200ms' as $$
declare
    today date := (now() at time zone 'utc')::date;
    parent text;
    day date;
    part text;
    made int := 0;
begin
    foreach parent in array array['jobs_finished_short', 'jobs_finished_long'] loop
        for day in select today + g from generate_series(-1, days) g loop
            part := parent || to_char(day, '_yyyymmdd');
            continue when to_regclass('evergrant.' || part) is not null;
            execute format('create table evergrant.%I (like evergrant.%I including defaults including constraints)',
                part, parent);
            execute format('alter table evergrant.%I attach partition evergrant.%I for values from (%L) to (%L)',
                parent, part, day || ' 00:00+00', (day + 1) || ' 00:00+00');
            made := made + 1;
        end loop;
    end loop;
    return made;
end $$;

-- Drops the oldest day past its life span: its name, null when nothing is left, 'busy' when a reader is in the way (call
-- again later, rarely: a DROP that waits stops every insert behind it, here for up to 200 ms).
create function history_drop(short_days int, long_days int) returns text
language plpgsql security definer
set search_path = pg_catalog, evergrant, pg_temp set lock_timeout = '200ms' as $$
declare
    today date := (now() at time zone 'utc')::date;
    part text;
begin
    select c.relname into part
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent in ('evergrant.jobs_finished_short'::regclass, 'evergrant.jobs_finished_long'::regclass)
      and right(c.relname, 8) < to_char(
          today - case when i.inhparent = 'evergrant.jobs_finished_short'::regclass then short_days else long_days end,
          'yyyymmdd')
    order by right(c.relname, 8) limit 1;
    if part is not null then execute format('drop table evergrant.%I', part); end if;
    return part;
exception when lock_not_available then
    return 'busy';
end $$;

-- == 5. Moving jobs: the only places that name every column =========================================================

-- `errors` with `note` appended; a note of the same attempt and type as the last one (snoozes, early crashes) takes its
-- place, so that a job snoozed for weeks does not grow.
create function noted(errors jsonb, note jsonb) returns jsonb language sql immutable as $$
    select case
        when note is null then errors
        when errors is null then jsonb_build_array(note)
        when errors -> -1 -> 'attempt' = note -> 'attempt' and errors -> -1 -> 'type' = note -> 'type'
            then (errors - (-1)) || note
        else errors || note
    end
$$;

create function changed(j jobs_ready, attempts int, crash int, note jsonb, prio smallint) returns jobs_ready
language sql immutable as $$
    select row(j.id, coalesce(j.job_id, j.id), j.created_at, j.queue, j.kind, least(j.priority, prio),
        j.attempt + attempts, j.max_attempts, j.crashes + crash, j.space, j.ukey, j.limit_key,
        evergrant.noted(j.errors, note), j.args)::evergrant.jobs_ready
$$;

-- A job that has not run yet.
create function fresh_job(id bigint, queue int, kind int, priority smallint, max_attempts smallint, space smallint,
    ukey bytea, limit_key text, args jsonb) returns jobs_ready language sql stable as $$
    select row(id, null, now(), queue, kind, priority, 0, max_attempts, 0, space, ukey, limit_key, null, args
        )::evergrant.jobs_ready
$$;

-- Back into line: a new id, the old job_id.
create function put(js jobs_ready[]) returns bigint
language sql set search_path = pg_catalog, evergrant, pg_temp as $$
    with i as (
        insert into jobs_ready (job_id, created_at, queue, kind, priority, attempt, max_attempts, crashes, space, ukey,
            limit_key, errors, args)
        select coalesce(j.job_id, j.id), j.created_at, j.queue, j.kind, j.priority, j.attempt, j.max_attempts,
            j.crashes, j.space, j.ukey, j.limit_key, j.errors, j.args
        from unnest(js) j
        returning 1)
    select count(*) from i
$$;

-- == 6. Enqueue =====================================================================================================

-- Jobs without a unique key, each with its own queue, time and so on; returns their job ids in the same order. A null
-- time is now. The plain INSERT of the client's hot path does the same for jobs that are all due now.
create function enqueue_jobs(queues int[], kinds int[], priorities smallint[], max_attempts smallint[],
    limit_keys text[], run_ats timestamptz[], args jsonb[]) returns setof bigint
language sql set search_path = pg_catalog, evergrant, pg_temp as $$
    with u as materialized (
        select case when pg_current_xact_id() is not null then nextval('evergrant.job_ids') end as id, x.*
        from unnest(queues, kinds, priorities, max_attempts, limit_keys, run_ats, args)
            with ordinality x(queue, kind, priority, most, limit_key, run_at, args, place)),
    ready as (
        insert into jobs_ready (id, queue, kind, priority, max_attempts, limit_key, args)
        select id, queue, kind, priority, most, limit_key, args from u where run_at is null or run_at <= now()
        order by id),
    later as (
        insert into jobs_scheduled
        select run_at, id, fresh_job(id, queue, kind, priority, most, null, null, limit_key, u.args)
        from u where run_at > now())
    select id from u order by place
$$;

-- Jobs with a unique key. Says what became of each key:
--   new      enqueued
--   forward  was scheduled: pulled forward to the lesser time and priority
--   waiting  is in line already: held until the caller commits, so that its run sees the caller's data
--   parked   stays parked
--   again    is running: one more run when it settles
--   wish     a stranger's open transaction has the key: written down without waiting, folded in after the commit
-- Keys are locked to the caller's commit, in key order. In repeatable read every key that is not new is a wish.
create function enqueue_keyed(space smallint, keys bytea[], queue int, priority smallint, kind int, args jsonb[],
    run_at timestamptz default null, max_attempts smallint default 25, limit_key text default null)
returns table (o_key bytea, o_job bigint, o_what text)
language plpgsql
set search_path = pg_catalog, evergrant, pg_temp set enable_seqscan = off set lock_timeout = '50ms' as $$
declare
    k job_keys;
    j jobs_ready;
    moved record;
    fresh bytea[] := '{}';
    committed boolean := current_setting('transaction_isolation') = 'read committed';
    at timestamptz := coalesce($7, now());
    due boolean := at <= now();
    a jsonb;
begin
    -- 1. All new keys at once, in key order.
    if committed then
        begin
            with u as (
                select distinct on (x.k) x.k, x.a from unnest($2, $6) x(k, a) order by x.k),
            n as (
                insert into job_keys as w (space, key, queue, priority)
                select $1, u.k, $3, $4 from u order by u.k
                on conflict do nothing
                returning w.key, w.job_id),
            r as (
                insert into jobs_ready (id, queue, priority, kind, max_attempts, limit_key, args, space, ukey)
                select n.job_id, $3, $4, $5, $8, $9, u.a, $1, u.k from n join u on u.k = n.key where due),
            s as (
                insert into jobs_scheduled
                select at, n.job_id, fresh_job(n.job_id, $3, $5, $4, $8, $1, u.k, $9, u.a)
                from n join u on u.k = n.key where not due)
            select coalesce(array_agg(n.key), '{}') into fresh from n;
            return query
                select w.key, w.job_id, 'new' from job_keys w where w.space = $1 and w.key = any(fresh);
        exception when lock_not_available or deadlock_detected then
            fresh := '{}';  -- undone as a whole: one by one below, hardly waiting any more
            perform set_config('lock_timeout', '1ms', true);
        end;
    end if;

    -- 2. Keys that are taken.
    for o_key, a in
        select distinct on (x.k) x.k, x.a from unnest($2, $6) x(k, a) where x.k <> all(fresh) order by x.k
    loop
        o_what := null;
        o_job := null;
        if committed then
            begin
                loop
                    insert into job_keys as w (space, key, queue, priority) values ($1, o_key, $3, $4)
                    on conflict do nothing returning * into k;
                    if found then
                        o_what := 'new';
                        exit;
                    end if;
                    -- from here on a settle of this key waits for us
                    select * into k from job_keys w where w.space = $1 and w.key = o_key for update;
                    exit when found;
                end loop;
                o_job := k.job_id;
                if o_what = 'new' then
                    if due then
                        insert into jobs_ready (id, queue, priority, kind, max_attempts, limit_key, args, space, ukey)
                        values (o_job, $3, $4, $5, $8, $9, a, $1, o_key);
                    else
                        insert into jobs_scheduled
                        values (at, o_job, fresh_job(o_job, $3, $5, $4, $8, $1, o_key, $9, a));
                    end if;
                else
                    -- A job goes scheduled to ready, parked to ready, ready to leased without its key, and out of a
                    -- lease only with it: looked for in that order, each time with a fresh snapshot, it is found.
                    delete from jobs_scheduled w where w.job_id = o_job
                    returning least(w.run_at, at) t, changed(w.job, 0, 0, null, $4) j into moved;
                    if found then
                        o_what := 'forward';
                        if moved.t <= now() then
                            perform put(array[moved.j]);
                        else
                            insert into jobs_scheduled values (moved.t, o_job, moved.j);
                        end if;
                    else
                        perform 1 from jobs_parked w where w.job_id = o_job for update;
                        if found then
                            o_what := 'parked';
                        else
                            -- locked until we commit: claims skip it, so it cannot run before our data is there
                            select w.* into j from jobs_ready w where w.job_id = o_job for update skip locked;
                            if not found then
                                select w.* into j from jobs_ready w
                                where w.queue = k.queue and w.priority = k.priority and w.id = o_job
                                for update skip locked;
                            end if;
                            if found then
                                o_what := 'waiting';
                                if $4 < j.priority then
                                    delete from jobs_ready w
                                    where w.queue = j.queue and w.priority = j.priority and w.id = j.id;
                                    perform put(array[changed(j, 0, 0, null, $4)]);
                                end if;
                            else
                                o_what := 'again';
                                update job_keys w
                                set again_at = least(coalesce(w.again_at, at), at),
                                    again_priority = least(w.again_priority, $4)
                                where w.space = $1 and w.key = o_key;
                            end if;
                        end if;
                    end if;
                end if;
            exception when lock_not_available or deadlock_detected then
                o_what := null;
                perform set_config('lock_timeout', '1ms', true);
            end;
        end if;
        if o_what is null then
            o_what := 'wish';
            o_job := null;
            insert into job_wishes (space, key, queue, priority, kind, max_attempts, limit_key, args, run_at)
            values ($1, o_key, $3, $4, $5, $8, $9, a, at);
        end if;
        return next;
    end loop;
end $$;

-- Makes up to `most` wishes into jobs; what still has to wait becomes a wish again. Returns how many it looked at.
create function fold_wishes(most int) returns int
language plpgsql set search_path = pg_catalog, evergrant, pg_temp as $$
declare
    w job_wishes;
    n int := 0;
begin
    for w in select * from job_wishes order by space, key, id limit most for update skip locked loop
        delete from job_wishes where id = w.id;
        perform enqueue_keyed(w.space, array[w.key], w.queue, w.priority, w.kind, array[w.args], w.run_at,
            w.max_attempts, w.limit_key);
        n := n + 1;
    end loop;
    return n;
end $$;

-- == 7. Settle ======================================================================================================
--
-- What is to become of a job (act):
--   0 completed   1 retry after delay   2 snooze for delay, no attempt used   3 park   4 give back, no attempt used
--   5 discard     6 cancelled
-- delay is in seconds for 1 and 2, null is none. note is the error of 1, 2 and 5 as {type, message}, and for 3
-- {reason, key}.
--
-- The lease row is the fence between a settle and a rescue. Every settle takes it first, FOR KEY SHARE (FOR UPDATE to
-- close it); rescue takes it FOR UPDATE and reads the marks in a later statement. So a settle has either committed its
-- marks before the rescue reads them, or finds no lease and changes nothing.

-- Settles those of `ids` that are in the lease and have no mark; returns how many. The caller holds the lease row.
create function settle_rows(lease bigint, me bigint, ids bigint[], acts smallint[], delays float8[], notes jsonb[])
returns int language plpgsql
set search_path = pg_catalog, evergrant, pg_temp set enable_seqscan = off as $$
declare
    todo bigint[];
    n int;
begin
    if exists (select from unnest(ids, acts) u(i, a) where i is null or a is null or a not between 0 and 6)
        or (select count(distinct i) from unnest(ids) i) <> cardinality(ids)
    then
        raise exception 'what is to become of each job of lease %?', lease using errcode = 'EG004';
    end if;

    -- 1. The marks. Another settle of the same job is waited for, and then has it.
    with m as (
        insert into lease_marks
        select lease, coalesce(j.job_id, j.id) from leases l, unnest(l.jobs) j
        where l.id = lease and coalesce(j.job_id, j.id) = any(ids)
        on conflict do nothing
        returning job_id)
    select array_agg(job_id) into todo from m;
    if todo is null then return 0; end if;

    -- 2. The keys, in order: an enqueue that holds one commits first, and its `again` is seen below.
    perform 1 from job_keys k
        join (select j.space, j.ukey, coalesce(j.job_id, j.id) jid
              from leases l, unnest(l.jobs) j where l.id = lease and j.ukey is not null) x
            on k.space = x.space and k.key = x.ukey
        where x.jid = any(todo)
        order by k.space, k.key for update of k;
    if 3 = any(acts) then  -- a resume waits for us, or has been
        perform 1 from pauses p
            where (p.reason, p.limit_key) in (select u ->> 'reason', u ->> 'key' from unnest(notes) u)
            order by 1 for key share;
    end if;

    -- 3. The jobs, with a fresh snapshot.
    with s as materialized (
        select j, coalesce(j.job_id, j.id) jid, k.again_at, k.job_id is not null held,
            case when u.act = 3 and p.reason is null then 4 else u.act end act,  -- resumed meanwhile: give back
            u.note why,
            case when u.act in (1, 2, 5) and u.note is not null
                then u.note || jsonb_build_object('attempt', j.attempt + 1, 'at', now(), 'worker', me) end note,
            coalesce(least(now() + u.delay * interval '1 second', k.again_at), now()) at,
            least(j.priority, k.again_priority) prio,
            case when k.again_at is not null and u.act in (0, 5, 6) then nextval('job_ids') end nid
        from leases l
            cross join unnest(l.jobs) j
            join unnest(ids, acts, delays, notes) u(jid, act, delay, note) on u.jid = coalesce(j.job_id, j.id)
            left join job_keys k
                on k.space = j.space and k.key = j.ukey and k.job_id = coalesce(j.job_id, j.id)
            left join pauses p on u.act = 3 and p.reason = u.note ->> 'reason' and p.limit_key = u.note ->> 'key'
        where l.id = lease and u.jid = any(todo)),
    finished as (
        insert into jobs_finished (long, outcome, attempt, queue, kind, job_id, created_at, errors, args)
        select act <> 0, act, (j).attempt + 1, (j).queue, (j).kind, jid, (j).created_at, (j).errors, (j).args
        from s where act in (0, 6)),
    discarded as (
        insert into jobs_discarded (job_id, job)
        select jid, changed(j, 1, 0, note, null) from s where act = 5),
    later as (
        insert into jobs_scheduled
        select at, jid, changed(j, (act = 1)::int, 0, note, prio) from s where act in (1, 2) and at > now()
        union all
        select again_at, nid, fresh_job(nid, (j).queue, (j).kind, prio, (j).max_attempts, (j).space, (j).ukey,
            (j).limit_key, (j).args)
        from s where nid is not null and again_at > now()),
    again as (  -- one more run: a new job
        insert into jobs_ready (id, queue, kind, priority, max_attempts, space, ukey, limit_key, args)
        select nid, (j).queue, (j).kind, prio, (j).max_attempts, (j).space, (j).ukey, (j).limit_key, (j).args
        from s where nid is not null and again_at <= now()),
    parked as (
        insert into jobs_parked (job_id, reason, limit_key, job)
        select jid, why ->> 'reason', why ->> 'key', changed(j, 0, 0, null, prio) from s where act = 3),
    keys_kept as (
        update job_keys k
        set job_id = coalesce(nid, jid), priority = prio, again_at = null, again_priority = null
        from s
        where held and (nid is not null or act not in (0, 5, 6)) and k.space = (s.j).space and k.key = (s.j).ukey),
    keys_freed as (
        delete from job_keys k using s
        where held and nid is null and act in (0, 5, 6) and k.space = (s.j).space and k.key = (s.j).ukey),
    cancels_done as (
        delete from job_cancels where job_id in (select jid from s where act in (0, 5, 6)))
    select count(*) + 0 * coalesce(put(
        array_agg(changed(j, (act = 1)::int, 0, note, prio)) filter (where act = 4 or act in (1, 2) and at <= now())), 0)
    into n from s;
    return n;
end $$;

-- Closes those of `ids` whose every job has a mark. One row for each lease that is the worker's: the jobs without a
-- mark, empty when the lease was closed. No row: the lease is lost.
create function close_leases(ids bigint[], me bigint) returns table (lease bigint, open_jobs bigint[])
language plpgsql set search_path = pg_catalog, evergrant, pg_temp set enable_seqscan = off as $$
declare
    mine bigint[];
begin
    select array_agg(x.id) into mine
    from (select l.id from leases l where l.id = any(ids) and l.worker = me order by l.id for update) x;
    return query
        with s as materialized (
            select l.id, array(
                select coalesce(j.job_id, j.id) from unnest(l.jobs) j
                except select m.job_id from lease_marks m where m.lease_id = l.id) jobs_left
            from leases l where l.id = any(mine)),
        m as (delete from lease_marks where lease_id in (select s.id from s where jobs_left = '{}')),
        d as (delete from leases l where l.id in (select s.id from s where jobs_left = '{}'))
        select s.id, s.jobs_left from s;
end $$;

-- Settles all of `ids`, or raises: EG001 the lease is lost, EG002 a job is not in it or was settled before, EG003 `last`
-- but it has more jobs, EG004 unknown act. The effect in the same transaction falls with it.
create function settle(lease bigint, me bigint, ids bigint[], acts smallint[], delays float8[], notes jsonb[],
    last boolean) returns int language plpgsql
set search_path = pg_catalog, evergrant, pg_temp set enable_seqscan = off as $$
declare
    n int;
begin
    if last then perform 1 from leases l where l.id = lease and l.worker = me for update;
    else perform 1 from leases l where l.id = lease and l.worker = me for key share;
    end if;
    if not found then raise exception 'lease % is lost', lease using errcode = 'EG001'; end if;
    n := settle_rows(lease, me, ids, acts, delays, notes);
    if n <> cardinality(ids) then
        raise exception 'a job is not in lease %, or was settled before', lease using errcode = 'EG002';
    end if;
    if last and (select c.open_jobs from close_leases(array[lease], me) c) <> '{}' then
        raise exception 'lease % has more jobs', lease using errcode = 'EG003';
    end if;
    return n;
end $$;

-- Settles one job if the lease is the worker's and the job has no mark; else false, and the caller's transaction goes
-- on: for effects that have a fence of their own.
create function settle_if_mine(lease bigint, me bigint, job bigint, act smallint, delay float8, note jsonb,
    last boolean) returns boolean language plpgsql
set search_path = pg_catalog, evergrant, pg_temp set enable_seqscan = off as $$
begin
    if last then perform 1 from leases l where l.id = lease and l.worker = me for update;
    else perform 1 from leases l where l.id = lease and l.worker = me for key share;
    end if;
    if not found or settle_rows(lease, me, array[job], array[act], array[delay], array[note]) = 0 then
        return false;
    end if;
    if last then perform close_leases(array[lease], me); end if;
    return true;
end $$;

-- Settles what is the worker's own of `ids`, for a runner that settles on behalf of handlers: a lost lease or a job that
-- was settled before is no error. held: the lease is the worker's. open_jobs, with `last`: jobs that still have no mark,
-- which keep the lease open.
create function settle_held(lease bigint, me bigint, ids bigint[], acts smallint[], delays float8[], notes jsonb[],
    last boolean, out held boolean, out settled int, out open_jobs bigint[]) language plpgsql
set search_path = pg_catalog, evergrant, pg_temp set enable_seqscan = off as $$
begin
    settled := 0;
    open_jobs := '{}';
    if last then perform 1 from leases l where l.id = lease and l.worker = me for update;
    else perform 1 from leases l where l.id = lease and l.worker = me for key share;
    end if;
    held := found;
    if not held then return; end if;
    settled := settle_rows(lease, me, ids, acts, delays, notes);
    if last then
        select c.open_jobs into open_jobs from close_leases(array[lease], me) c;
    end if;
end $$;

-- Puts back, without an attempt, what a living worker holds and does not know of (the answer to its claim was lost).
-- Returns how many jobs.
create function release_leases(ids bigint[], me bigint) returns bigint
language plpgsql set search_path = pg_catalog, evergrant, pg_temp set enable_seqscan = off as $$
declare
    mine bigint[];
    n bigint;
begin
    select array_agg(x.id) into mine
    from (select l.id from leases l where l.id = any(ids) and l.worker = me order by l.id for update) x;
    with t as (delete from lease_marks where lease_id = any(mine) returning lease_id, job_id),
    x as (delete from leases where id = any(mine) returning id, jobs)
    select put(array_agg(j)) into n from x, unnest(x.jobs) j
    where not exists (select from t where t.lease_id = x.id and t.job_id = coalesce(j.job_id, j.id));
    return coalesce(n, 0);
end $$;

-- == 8. Operators ===================================================================================================

-- Lifts a pause and moves up to `most` of its jobs back; call until 0. Waits for settles that park under it.
create function resume(why text, what text, most int) returns bigint
language plpgsql set search_path = pg_catalog, evergrant, pg_temp set enable_seqscan = off as $$
declare
    n bigint;
begin
    delete from pauses where reason = why and limit_key = what;
    with d as (
        delete from jobs_parked
        where job_id = any(array(
            select job_id from jobs_parked where reason = why and limit_key = what
            order by job_id limit most for update skip locked))
        returning job_id, job)
    select put(array_agg(job order by job_id)) into n from d;
    return coalesce(n, 0);
end $$;

-- Where a job is, by index probes of each lane and table. More than one row only beside a transaction that moves it.
create function find_job(want bigint) returns table (
    state text, queue int, priority smallint, kind int, attempt smallint, max_attempts smallint, created_at timestamptz,
    at timestamptz, space smallint, ukey bytea, limit_key text, errors jsonb, args jsonb)
language sql stable set search_path = pg_catalog, evergrant, pg_temp set enable_seqscan = off as $$
    with recursive lane(q, p) as (
        (select queue, priority from jobs_ready order by queue, priority, id limit 1)
        union all
        select x.queue, x.priority from lane, lateral (
            select queue, priority from jobs_ready r where (r.queue, r.priority) > (lane.q, lane.p)
            order by queue, priority, id limit 1) x),
    found as (
        select case when r.attempt > 0 then 'retryable' else 'available' end state, null::timestamptz at,
            r::jobs_ready job
        from lane, lateral (
            select * from jobs_ready r
            where r.queue = lane.q and r.priority = lane.p and r.id = want and r.job_id is null offset 0) r
        union all
        select case when r.attempt > 0 then 'retryable' else 'available' end, null, r from jobs_ready r
        where r.job_id = want
        union all
        select case when (job).attempt > 0 then 'retryable' else 'scheduled' end, run_at, job
        from jobs_scheduled where job_id = want
        union all
        select 'parked', parked_at, job from jobs_parked where job_id = want
        union all
        select 'discarded', discarded_at, job from jobs_discarded where job_id = want
        union all
        select 'running', null, j from leases l, unnest(l.jobs) j
        where coalesce(j.job_id, j.id) = want
          and not exists (select from lease_marks t where t.lease_id = l.id and t.job_id = want))
    select state, (job).queue, (job).priority, (job).kind, (job).attempt, (job).max_attempts, (job).created_at, at,
        (job).space, (job).ukey, (job).limit_key, (job).errors, (job).args
    from found
    union all
    select case outcome when 0 then 'completed' when 5 then 'deleted' else 'cancelled' end, queue, null, kind, attempt,
        null, created_at, finished_at, null, null, null, errors, args
    from jobs_finished where job_id = want
$$;

-- Takes a job from where it waits (its key first, as everywhere): 'cancelled'. A running one is asked: 'asked'. One that
-- is finished or was never there: 'unknown'. A duty calls it again for every row of job_cancels, which catches jobs that
-- were retried meanwhile and forgets those that are over.
create function cancel_job(want bigint) returns text
language plpgsql set search_path = pg_catalog, evergrant, pg_temp set enable_seqscan = off as $$
declare
    j jobs_ready;
    lane record;
    k record;
begin
    select f.space, f.ukey into k from find_job(want) f where f.ukey is not null limit 1;
    if found then
        perform 1 from job_keys w where w.space = k.space and w.key = k.ukey for update;
    end if;
    delete from jobs_scheduled where job_id = want returning (job).* into j;
    if not found then delete from jobs_parked where job_id = want returning (job).* into j; end if;
    if not found then delete from jobs_discarded where job_id = want returning (job).* into j; end if;
    if not found then delete from jobs_ready where job_id = want returning * into j; end if;
    if not found then
        for lane in select distinct f.queue, f.priority from find_job(want) f where f.state in ('available', 'retryable')
        loop
            delete from jobs_ready w
            where w.queue = lane.queue and w.priority = lane.priority and w.id = want and w.job_id is null
            returning * into j;
            exit when found;
        end loop;
    end if;
    if j.id is not null then
        insert into jobs_finished (long, outcome, attempt, queue, kind, job_id, created_at, errors, args)
        values (true, 6, j.attempt, j.queue, j.kind, want, j.created_at, j.errors, j.args);
        delete from job_keys w where w.space = j.space and w.key = j.ukey and w.job_id = want;
        delete from job_cancels where job_id = want;
        return 'cancelled';
    elsif exists (select from find_job(want) f where f.state = 'running') then
        insert into job_cancels values (want) on conflict do nothing;
        return 'asked';
    end if;
    delete from job_cancels where job_id = want;
    return 'unknown';
end $$;

-- Runs discarded jobs again, attempts from 0: those of a kind, of a list, or all (nulls). A job whose key is taken by now
-- stays. Returns how many.
create function retry_discarded(only_kind int, only_jobs bigint[], most int) returns bigint
language sql set search_path = pg_catalog, evergrant, pg_temp as $$
    with c as materialized (
        select job_id, job from jobs_discarded
        where (only_kind is null or (job).kind = only_kind) and (only_jobs is null or job_id = any(only_jobs))
        order by job_id limit most for update skip locked),
    k as (
        insert into job_keys (space, key, job_id, queue, priority)
        select (job).space, (job).ukey, job_id, (job).queue, (job).priority from c where (job).ukey is not null
        order by 1, 2
        on conflict do nothing
        returning job_id),
    d as (
        delete from jobs_discarded x using c
        where x.job_id = c.job_id and ((c.job).ukey is null or c.job_id in (select job_id from k))
        returning x.job)
    select coalesce(put(array_agg(changed(job, -(job).attempt, -(job).crashes, null, null))), 0) from d
$$;

-- Deletes discarded jobs into the history, where their errors stay for the long life span.
create function delete_discarded(only_kind int, most int) returns bigint
language sql set search_path = pg_catalog, evergrant, pg_temp as $$
    with d as (
        delete from jobs_discarded
        where job_id = any(array(
            select job_id from jobs_discarded where only_kind is null or (job).kind = only_kind
            order by job_id limit most for update skip locked))
        returning job_id, job),
    f as (
        insert into jobs_finished (long, outcome, attempt, queue, kind, job_id, created_at, errors, args)
        select true, 5, (job).attempt, (job).queue, (job).kind, job_id, (job).created_at, (job).errors, (job).args
        from d
        returning 1)
    select count(*) from f
$$;

-- Depth of each lane that is not empty, counted up to `cap`, and when its first job was created.
create function queue_depths(cap int) returns table (queue int, priority smallint, jobs int, oldest timestamptz)
language sql stable set search_path = pg_catalog, evergrant, pg_temp set enable_seqscan = off as $$
    with recursive lane(q, p, at) as (
        (select queue, priority, created_at from jobs_ready order by queue, priority, id limit 1)
        union all
        select x.queue, x.priority, x.created_at from lane, lateral (
            select queue, priority, created_at from jobs_ready r where (r.queue, r.priority) > (lane.q, lane.p)
            order by queue, priority, id limit 1) x)
    select q, p, (
        select count(*)::int from (
            select from jobs_ready r where r.queue = lane.q and r.priority = lane.p
            order by queue, priority, id limit cap) c), at
    from lane
$$;

-- == 9. All jobs as one =============================================================================================

-- For people and reports. Lookups by id go through find_job; this reads whole tables where a filter fits no index.
create view jobs as
    with everything as (
        select case when attempt > 0 then 'retryable' else 'available' end state, coalesce(job_id, id) job_id,
            created_at at, r as job
        from jobs_ready r
        union all
        select case when (job).attempt > 0 then 'retryable' else 'scheduled' end, job_id, run_at, job from jobs_scheduled
        union all
        select 'parked', job_id, parked_at, job from jobs_parked
        union all
        select 'discarded', job_id, discarded_at, job from jobs_discarded
        union all
        select 'running', coalesce(j.job_id, j.id), null, j from leases l, unnest(l.jobs) j
        where not exists (
            select from lease_marks m where m.lease_id = l.id and m.job_id = coalesce(j.job_id, j.id)))
    select e.state, e.job_id, q.environment_id, q.name as queue, k.name as kind, (e.job).priority, (e.job).attempt,
        (e.job).max_attempts, (e.job).crashes, e.at, (e.job).created_at, (e.job).limit_key, (e.job).errors, (e.job).args
    from everything e left join queues q on q.id = (e.job).queue left join job_kinds k on k.id = (e.job).kind
    union all
    select case f.outcome when 0 then 'completed' when 5 then 'deleted' else 'cancelled' end, f.job_id, q.environment_id,
        q.name, k.name, null, f.attempt, null, null, f.finished_at, f.created_at, null, f.errors, f.args
    from jobs_finished f left join queues q on q.id = f.queue left join job_kinds k on k.id = f.kind;

revoke all on all functions in schema evergrant from public;
select history_make(14);
