-- What operators see and do: rates, depths, why a job does not run, and redriving discarded jobs by selection.
--
-- Nothing here counts a whole table. Counts end at a cap, and what they read is found by index. `jit = off` because a
-- discouraged sequential scan (of a few rows, without an index to take) looks dear enough to be compiled for a second.

set local search_path = evergrant, pg_temp;

-- == 1. Rates of lanes ==============================================================================================

-- One row for each lane that ever ran a job. Runners count in memory and add to it with each beat, so a count is seconds
-- late, and one whose answer was lost is added twice: for people, not for accounts.
-- Seven counts: started, completed, retried, discarded, cancelled, snoozed, parked.
create table lane_counts (
    queue int,
    priority smallint,
    minute bigint not null,             -- that `this_minute` is of: minutes since 1970 by the database's clock
    this_minute bigint[] not null,
    last_minute bigint[] not null,      -- of the minute before that one
    ever bigint[] not null,
    primary key (queue, priority)
) with (fillfactor = 50, autovacuum_vacuum_threshold = 500);

create function plus(a bigint[], b bigint[]) returns bigint[] language sql immutable as $$
    select array(select x + y from unnest(a, b) with ordinality u(x, y, place) order by place)
$$;

-- Adds counts of lanes; `counts` has seven for each. Rows are locked in order.
create function fold_counts(queues int[], priorities smallint[], counts bigint[]) returns void
language sql set search_path = pg_catalog, evergrant, pg_temp as $$
    insert into lane_counts as c (queue, priority, minute, this_minute, last_minute, ever)
    select u.queue, u.priority, floor(extract(epoch from clock_timestamp()) / 60), n.counted,
        array[0, 0, 0, 0, 0, 0, 0], n.counted
    from unnest(queues, priorities) with ordinality u(queue, priority, place),
        lateral (select counts[u.place * 7 - 6 : u.place * 7] as counted) n
    order by u.queue, u.priority
    on conflict (queue, priority) do update set
        minute = greatest(c.minute, excluded.minute),
        this_minute = case when excluded.minute > c.minute then excluded.this_minute
            else plus(c.this_minute, excluded.this_minute) end,
        last_minute = case when excluded.minute = c.minute + 1 then c.this_minute
            when excluded.minute > c.minute then excluded.last_minute else c.last_minute end,
        ever = plus(c.ever, excluded.ever)
$$;

-- Counts of the 60 seconds before now: this minute's, and of the minute before as much as falls into them.
create function per_minute(c lane_counts) returns float8[] language sql stable as $$
    select array(
        select case
            when c.minute >= floor(t.minutes) then x + y * (1 - (t.minutes - floor(t.minutes)))
            when c.minute = floor(t.minutes) - 1 then x * (1 - (t.minutes - floor(t.minutes)))
            else 0 end
        from unnest(c.this_minute, c.last_minute) with ordinality u(x, y, place),
            (select extract(epoch from now())::float8 / 60 as minutes) t
        order by place)
$$;

-- == 2. Depths ======================================================================================================

-- When a worker last beat, for people. Whether it is dead is never decided by this, see `workers`.
alter table workers add column beat_at timestamptz;
alter table leases add column claimed_at timestamptz not null default now();

-- Discarded jobs by queue, kind and time.
create index jobs_discarded_place on jobs_discarded (((job).queue), ((job).kind), discarded_at, job_id);

-- Every lane of an environment (null: of all) that has something to tell: jobs in line, running, due within a minute, or
-- counted within two minutes. Each count ends at `cap`; jobs in line of many deep lanes earlier, at 200,000 in all, but
-- not before 100 each. One index probe for each queue and each lane in line, and what is counted.
create function lanes_now(only_environment bigint, cap int) returns table (
    environment_id bigint, queue text, paused boolean, priority smallint, jobs int, is_capped boolean,
    oldest timestamptz, running int, due_soon int, per_minute float8[], ever bigint[])
language sql stable set search_path = pg_catalog, evergrant, pg_temp set enable_seqscan = off set jit = off as $$
    with recursive lane(q, p, at) as (
        select w.id, x.priority, x.created_at from queues w, lateral (
            select r.priority, r.created_at from jobs_ready r where r.queue = w.id
            order by r.queue, r.priority, r.id limit 1) x
        where only_environment is null or w.environment_id = only_environment
        union all
        select lane.q, x.priority, x.created_at from lane, lateral (
            select r.priority, r.created_at from jobs_ready r where r.queue = lane.q and r.priority > lane.p
            order by r.queue, r.priority, r.id limit 1) x),
    most as materialized (select least(cap, greatest(100, 200000 / greatest(1, count(*))))::int each from lane),
    line as (
        select q, p, at, (
            select count(*)::int from (
                select from jobs_ready r where r.queue = lane.q and r.priority = lane.p
                order by r.queue, r.priority, r.id limit (select each from most)) c) n
        from lane),
    runs as (
        select x.q, x.p, count(*)::int n from (
            select (j).queue q, (j).priority p from leases l, unnest(l.jobs) j
            where not exists (
                select from lease_marks m where m.lease_id = l.id and m.job_id = coalesce(j.job_id, j.id))
            limit cap) x
        group by 1, 2),
    due as (
        select x.q, x.p, count(*)::int n from (
            select (s.job).queue q, (s.job).priority p from jobs_scheduled s
            where s.run_at <= now() + interval '1 minute' order by s.run_at limit cap) x
        group by 1, 2),
    every as (
        select q, p from line union select q, p from runs union select q, p from due
        union
        select c.queue, c.priority from lane_counts c
        where c.minute >= floor(extract(epoch from now()) / 60) - 1)
    select w.environment_id, w.name, w.paused, e.p, coalesce(line.n, 0), coalesce(line.n >= (select each from most), false),
        line.at, coalesce(runs.n, 0), coalesce(due.n, 0), per_minute(c), c.ever
    from every e
    join queues w on w.id = e.q and (only_environment is null or w.environment_id = only_environment)
    left join line on line.q = e.q and line.p = e.p
    left join runs on runs.q = e.q and runs.p = e.p
    left join due on due.q = e.q and due.p = e.p
    left join lane_counts c on c.queue = e.q and c.priority = e.p
    order by 1, 2, 4
$$;

-- Parked jobs by what holds them, each counted up to `cap`, the first 1,000 of these.
create function parked_now(cap int) returns table (reason text, limit_key text, jobs int)
language sql stable set search_path = pg_catalog, evergrant, pg_temp set enable_seqscan = off set jit = off as $$
    with recursive held(r, k) as (
        (select p.reason, p.limit_key from jobs_parked p order by p.reason, p.limit_key limit 1)
        union all
        select x.reason, x.limit_key from held, lateral (
            select p.reason, p.limit_key from jobs_parked p where (p.reason, p.limit_key) > (held.r, held.k)
            order by p.reason, p.limit_key limit 1) x)
    select r, k, (
        select count(*)::int from (
            select from jobs_parked p where p.reason = h.r and p.limit_key = h.k limit cap) c)
    from (select r, k from held limit 1000) h
$$;

-- Discarded jobs of an environment (null: of all) by kind, each counted up to `cap` a queue.
create function discarded_now(only_environment bigint, cap int)
returns table (environment_id bigint, queue text, kind text, jobs int, oldest timestamptz)
language sql stable set search_path = pg_catalog, evergrant, pg_temp set enable_seqscan = off set jit = off as $$
    with recursive place(q, k, at) as (
        select w.id, x.kind, x.discarded_at from queues w, lateral (
            select (d.job).kind, d.discarded_at from jobs_discarded d where (d.job).queue = w.id
            order by (d.job).queue, (d.job).kind, d.discarded_at limit 1) x
        where only_environment is null or w.environment_id = only_environment
        union all
        select place.q, x.kind, x.discarded_at from place, lateral (
            select (d.job).kind, d.discarded_at from jobs_discarded d
            where (d.job).queue = place.q and (d.job).kind > place.k
            order by (d.job).queue, (d.job).kind, d.discarded_at limit 1) x)
    select w.environment_id, w.name, n.name, (
        select count(*)::int from (
            select from jobs_discarded d where (d.job).queue = p.q and (d.job).kind = p.k limit cap) c), p.at
    from place p left join queues w on w.id = p.q left join job_kinds n on n.id = p.k
$$;

-- == 3. Why is this job not running? ================================================================================

-- Everything that decides it, read in one snapshot, which is why this is stable and calls nothing that writes: null
-- `state` is a job that does not exist or whose history is dropped. Times are seconds since 1970. A worker counts as
-- beating for 20 s after a beat: of a fleet that was killed as a whole, nobody is left to declare the workers dead.
-- Index probes, up to 10,000 entries of the job's lane, and leases, which has a row for each batch under way.
create function explain_job(want bigint) returns jsonb
language plpgsql stable set search_path = pg_catalog, evergrant, pg_temp set enable_seqscan = off set jit = off as $$
declare
    f record;
    facts jsonb := jsonb_build_object('read_at', extract(epoch from statement_timestamp()));
    kind_name text;
    place bigint;
    locker xid;
    next_xid bigint := pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
    full_xid bigint;
    locked boolean;
    held record;
begin
    select * into f from find_job(want) limit 1;
    if not found then return facts; end if;
    select k.name into kind_name from job_kinds k where k.id = f.kind;

    -- 1. The job, and what holds for its queue and kind.
    facts := facts || jsonb_build_object(
        'state', f.state, 'kind', kind_name, 'priority', f.priority, 'attempt', f.attempt,
        'max_attempts', f.max_attempts, 'at', extract(epoch from f.at), 'error', f.errors -> -1,
        'cancel_asked', exists (select from job_cancels c where c.job_id = want));
    facts := facts || (
        select jsonb_build_object('queue', q.name, 'environment_id', q.environment_id, 'queue_paused', q.paused)
        from queues q where q.id = f.queue);
    if f.state in ('completed', 'cancelled', 'deleted', 'discarded') then return facts; end if;
    facts := facts || jsonb_build_object(
        'kind_paused', exists (select from pauses p where p.reason = 'kind' and p.limit_key = kind_name));

    -- 2. Its limits, in its own order.
    facts := facts || jsonb_build_object('limits', coalesce((
        select jsonb_agg(jsonb_build_object(
            'key', u.key,
            'paused', exists (select from pauses p where p.reason = 'limit' and p.limit_key = u.key),
            'concurrency', l.concurrency, 'in_use', l.in_use, 'rate', l.rate,
            'tokens', case when l.rate is not null then tokens_now(l) end,
            'room', case when l.key is not null then room(l) end,
            'wait', case when l.key is not null then wait_of(l) end,
            'blocked_until', case when l.blocked_until > clock_timestamp() then extract(epoch from l.blocked_until) end,
            'blocked_because', case when l.blocked_until > clock_timestamp() then l.blocked_because end,
            'waiting', exists (select from jobs_parked p where p.reason = 'wait' and p.limit_key = u.key))
            order by u.place)
        from unnest(string_to_array(f.limit_key, E'\n')) with ordinality u(key, place)
        left join limits l on l.key = u.key), '[]'));

    -- 3. Who could run it: `runners` beat, `knowing` of them have a handler, `others` beat but run no jobs (schedulers).
    facts := facts || (
        select jsonb_build_object(
            'runners', count(*) filter (where w.kinds is not null and coalesce(w.beat_at, w.started_at) > now() - interval '20 s'),
            'knowing', count(*) filter (where f.kind = any(w.kinds) and coalesce(w.beat_at, w.started_at) > now() - interval '20 s'),
            'others', count(*) filter (where w.kinds is null and coalesce(w.beat_at, w.started_at) > now() - interval '20 s'),
            'last_beat', extract(epoch from max(coalesce(w.beat_at, w.started_at)) filter (where w.kinds is not null)))
        from workers w where not w.dead);

    -- 4. Where it waits.
    if f.state = 'parked' then
        select p.reason, p.limit_key into held from jobs_parked p where p.job_id = want;
        facts := facts || jsonb_build_object('parked_reason', held.reason, 'parked_key', held.limit_key,
            'position', 1 + (
                select count(*) from (
                    select from jobs_parked p
                    where held.reason = 'wait' and p.reason = 'wait' and p.limit_key = held.limit_key
                      and ((p.job).priority, p.job_id) < (f.priority, want) limit 10000) c));
    elsif f.state = 'running' then
        select l.worker, l.claimed_at, w.name, coalesce(w.dead, true) dead,
            coalesce(w.beat_at, w.started_at) beat_at into held
        from leases l cross join unnest(l.jobs) j left join workers w on w.id = l.worker
        where coalesce(j.job_id, j.id) = want
          and not exists (select from lease_marks m where m.lease_id = l.id and m.job_id = want)
        limit 1;
        facts := facts || jsonb_build_object('worker', held.worker, 'worker_name', held.name, 'worker_dead', held.dead,
            'since', extract(epoch from held.claimed_at), 'worker_beat', extract(epoch from held.beat_at));
    elsif f.at is null then
        select x.id, x.locked_by into place, locker from (
            (select r.id, r.xmax as locked_by from jobs_ready r where r.job_id = want limit 1)
            union all
            (select r.id, r.xmax from jobs_ready r
             where r.queue = f.queue and r.priority = f.priority and r.id = want limit 1)) x limit 1;
        -- Locked by a transaction that is still open (claims skip it): a keyed enqueue, or whoever takes it just now.
        if locker <> '0'::xid then
            -- Its epoch is that of the nearest: next_xid is one after the last that has ended, not the next to come.
            full_xid := (next_xid & ~4294967295) | locker::text::bigint;
            if full_xid > next_xid + 2147483648 then full_xid := full_xid - 4294967296; end if;
            if full_xid < next_xid - 2147483648 then full_xid := full_xid + 4294967296; end if;
            begin
                locked := full_xid > 0 and pg_xact_status(full_xid::text::xid8) = 'in progress';
            exception when invalid_parameter_value then
                locked := false;  -- several share the lock: the number is not a transaction's
            end;
            if locked then
                facts := facts || jsonb_build_object('locked', true, 'locked_by', coalesce(
                    (select k.pid from pg_locks k
                     where k.locktype = 'transactionid' and k.transactionid = locker and k.granted limit 1),
                    -- Locked in a subtransaction, whose own lock is gone: whoever writes keys, if that is one.
                    (select min(k.pid) from pg_locks k
                     where k.locktype = 'relation' and k.relation = 'evergrant.job_keys'::regclass
                       and k.database = (select d.oid from pg_database d where d.datname = current_database())
                       and k.mode = 'RowExclusiveLock' and k.granted and k.pid <> pg_backend_pid()
                     having count(distinct k.pid) = 1)));
            end if;
        end if;
        facts := facts || jsonb_build_object(
            'position', 1 + (
                select count(*) from (
                    select from jobs_ready r where r.queue = f.queue and r.priority = f.priority and r.id < place
                    order by r.queue, r.priority, r.id limit 10000) c),
            'ahead', coalesce((
                with recursive lane(q, p) as (
                    select w.id, x.priority from queues w, lateral (
                        select r.priority from jobs_ready r where r.queue = w.id and r.priority < f.priority
                        order by r.queue, r.priority, r.id limit 1) x
                    where not w.paused
                    union all
                    select lane.q, x.priority from lane, lateral (
                        select r.priority from jobs_ready r
                        where r.queue = lane.q and r.priority > lane.p and r.priority < f.priority
                        order by r.queue, r.priority, r.id limit 1) x)
                select jsonb_agg(jsonb_build_object(
                    'environment_id', w.environment_id, 'queue', w.name, 'priority', x.p, 'jobs', (
                        select count(*) from (
                            select from jobs_ready r where r.queue = x.q and r.priority = x.p
                            order by r.queue, r.priority, r.id limit 1000) c)) order by x.p, w.environment_id, w.name)
                from (select q, p from lane order by p, q limit 20) x join queues w on w.id = x.q), '[]'),
            'beside', (
                select count(*) from queues w
                where not w.paused and w.id <> f.queue and exists (
                    select from jobs_ready r where r.queue = w.id and r.priority = f.priority)));
    end if;

    -- 5. What else is wanted of its unique key.
    if f.ukey is not null then
        facts := facts || jsonb_build_object(
            'again_at', (
                select extract(epoch from k.again_at) from job_keys k
                where k.space = f.space and k.key = f.ukey and k.job_id = want),
            'wishes', (select count(*) from (
                select from job_wishes x where x.space = f.space and x.key = f.ukey limit 1000) c));
    end if;
    return facts;
end $$;

-- The unfinished job that has a unique key, and how many enqueues of it are written down until a stranger's transaction
-- ends. Both may be 0 and null.
create function key_holder(in_space smallint, wanted bytea, out job_id bigint, out wishes bigint)
language sql stable set search_path = pg_catalog, evergrant, pg_temp set enable_seqscan = off set jit = off as $$
    select (select k.job_id from job_keys k where k.space = in_space and k.key = wanted),
        (select count(*) from (select from job_wishes x where x.space = in_space and x.key = wanted limit 1000) c)
$$;

-- == 4. Redriving discarded jobs ====================================================================================

-- Runs these discarded jobs again, attempts from 0. A job whose key is taken by now stays. Returns how many.
create function retry_these(ids bigint[]) returns bigint
language sql set search_path = pg_catalog, evergrant, pg_temp set enable_seqscan = off set jit = off as $$
    with c as materialized (
        select job_id, job from jobs_discarded where job_id = any(ids) order by job_id for update skip locked),
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

-- Deletes these discarded jobs into the history, where their errors stay for the long life span. Returns how many.
create function delete_these(ids bigint[]) returns bigint
language sql set search_path = pg_catalog, evergrant, pg_temp set enable_seqscan = off set jit = off as $$
    with d as (
        delete from jobs_discarded
        where job_id = any(array(
            select job_id from jobs_discarded where job_id = any(ids) order by job_id for update skip locked))
        returning job_id, job),
    f as (
        insert into jobs_finished (long, outcome, attempt, queue, kind, job_id, created_at, errors, args)
        select true, 5, (job).attempt, (job).queue, (job).kind, job_id, (job).created_at, (job).errors, (job).args
        from d
        returning 1)
    select count(*) from f
$$;

-- As in 0002, but jobs that are named are found by their ids alone.
create or replace function retry_discarded(only_kind int, only_jobs bigint[], most int) returns bigint
language plpgsql set search_path = pg_catalog, evergrant, pg_temp set enable_seqscan = off set jit = off as $$
begin
    if only_jobs is null then
        return retry_these(array(
            select d.job_id from jobs_discarded d where only_kind is null or (d.job).kind = only_kind
            order by d.job_id limit most for update skip locked));
    end if;
    return retry_these(array(
        select d.job_id from jobs_discarded d
        where d.job_id = any(only_jobs) and (only_kind is null or (d.job).kind = only_kind)
        order by d.job_id limit most for update skip locked));
end $$;

-- Queues of an environment (null: of all) that hold discarded jobs of a kind.
create function discarded_queues(only_kind int, only_environment bigint) returns setof int
language sql stable set search_path = pg_catalog, evergrant, pg_temp set enable_seqscan = off set jit = off as $$
    select q.id from queues q
    where (only_environment is null or q.environment_id = only_environment)
      and exists (select from jobs_discarded d where (d.job).queue = q.id and (d.job).kind = only_kind)
    order by q.id
$$;

-- What a selection holds, by the type of the last error; looks at up to `most` jobs that are of the kind, environment and
-- time. `o_all`: it has looked at all.
create function discarded_preview(only_kind int, only_environment bigint, error text, since timestamptz, most int)
returns table (
    o_type text, o_jobs bigint, o_oldest timestamptz, o_newest timestamptz, o_example text, o_example_job bigint,
    o_all boolean)
language sql stable set search_path = pg_catalog, evergrant, pg_temp set enable_seqscan = off set jit = off as $$
    with seen as materialized (
        select d.discarded_at, d.job_id, (d.job).errors -> -1 as e from discarded_queues(only_kind, only_environment) q,
        lateral (
            select * from jobs_discarded x
            where (x.job).queue = q and (x.job).kind = only_kind
              and x.discarded_at >= coalesce(since, '-infinity')
            order by x.discarded_at, x.job_id limit most) d
        limit most)
    select e ->> 'type', count(*), min(discarded_at), max(discarded_at),
        (array_agg(e ->> 'message' order by discarded_at desc))[1],
        (array_agg(job_id order by discarded_at desc))[1], (select count(*) < most from seen)
    from seen where error is null or e ->> 'type' = error
    group by 1 order by 2 desc, 1
$$;

-- One batch of a redrive through one queue, in order of time: looks at `look` jobs discarded from `since` to `until`
-- behind (after_at, after_job), and runs again, or deletes, up to `most` of those that have the error. (o_at, o_job) is
-- how far it came. Neither o_more (it stopped at `most`) nor o_looked = `look`: the queue is through. `until` keeps out jobs that fail again meanwhile.
create function redrive(in_queue int, only_kind int, error text, since timestamptz, until timestamptz,
    after_at timestamptz, after_job bigint, look int, most int, deletes boolean)
returns table (o_looked int, o_chosen int, o_moved bigint, o_at timestamptz, o_job bigint, o_more boolean)
language plpgsql set search_path = pg_catalog, evergrant, pg_temp set enable_seqscan = off set jit = off as $$
declare
    ids bigint[];
begin
    select count(*) filter (where x.nth <= most),
        array_agg(x.job_id order by x.nth) filter (where x.fits and x.nth <= most),
        (array_agg(x.discarded_at order by x.discarded_at desc, x.job_id desc) filter (where x.nth <= most))[1],
        (array_agg(x.job_id order by x.discarded_at desc, x.job_id desc) filter (where x.nth <= most))[1],
        coalesce(bool_or(x.nth > most), false)
    into o_looked, ids, o_at, o_job, o_more
    from (
        select y.*, count(*) filter (where y.fits) over (order by y.discarded_at, y.job_id) as nth
        from (
            select d.job_id, d.discarded_at, error is null or (d.job).errors -> -1 ->> 'type' = error as fits
            from jobs_discarded d
            where (d.job).queue = in_queue and (d.job).kind = only_kind
              and (d.discarded_at, d.job_id) > (
                  greatest(since, after_at, '-infinity'),
                  case when after_at >= coalesce(since, after_at) then after_job else 0 end)
              and d.discarded_at <= until
            order by d.discarded_at, d.job_id limit look for update skip locked) y) x;
    o_chosen := coalesce(cardinality(ids), 0);
    o_moved := case when o_chosen = 0 then 0 when deletes then delete_these(ids) else retry_these(ids) end;
    return next;
end $$;

-- == 5. The view ====================================================================================================

-- As in 0002, and why a job is parked, and its limit keys as an array.
create or replace view jobs as
    with everything as (
        select case when attempt > 0 then 'retryable' else 'available' end state, coalesce(job_id, id) job_id,
            created_at at, r as job, null::text parked_reason, null::text parked_key
        from jobs_ready r
        union all
        select case when (job).attempt > 0 then 'retryable' else 'scheduled' end, job_id, run_at, job, null, null
        from jobs_scheduled
        union all
        select 'parked', job_id, parked_at, job, reason, limit_key from jobs_parked
        union all
        select 'discarded', job_id, discarded_at, job, null, null from jobs_discarded
        union all
        select 'running', coalesce(j.job_id, j.id), l.claimed_at, j, null, null from leases l, unnest(l.jobs) j
        where not exists (
            select from lease_marks m where m.lease_id = l.id and m.job_id = coalesce(j.job_id, j.id)))
    select e.state, e.job_id, q.environment_id, q.name as queue, k.name as kind, (e.job).priority, (e.job).attempt,
        (e.job).max_attempts, (e.job).crashes, e.at, (e.job).created_at, (e.job).limit_key, (e.job).errors, (e.job).args,
        e.parked_reason, e.parked_key, string_to_array((e.job).limit_key, E'\n') as limit_keys
    from everything e left join queues q on q.id = (e.job).queue left join job_kinds k on k.id = (e.job).kind
    union all
    select case f.outcome when 0 then 'completed' when 5 then 'deleted' else 'cancelled' end, f.job_id, q.environment_id,
        q.name, k.name, null, f.attempt, null, null, f.finished_at, f.created_at, null, f.errors, f.args, null, null, null
    from jobs_finished f left join queues q on q.id = f.queue left join job_kinds k on k.id = f.kind;

revoke all on all functions in schema evergrant from public;
