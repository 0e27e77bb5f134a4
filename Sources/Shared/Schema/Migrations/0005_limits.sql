-- Limits that hold over the whole fleet, pauses of kinds and limit keys, and how runners hear of both.
--
-- A job may name up to four limit keys, one a line in `limit_key`. A key without a row in `limits` limits nothing.
--
-- Room under a limit belongs to the lease that uses it: `admit` and `claim_parked` write a row of `limit_holds` for each
-- job they let start, and what settles, gives back or rescues that job deletes it, in the same transaction. So `in_use`
-- is exact after any crash, and a lost answer leaks nothing. Only a job's start asks; a job that already runs when a
-- limit is made is not counted.
--
-- A job that may not start is parked (reason `wait`), so that it stands in nobody's way, and comes back by
-- `claim_parked`, most urgent first, as room comes free. While jobs of a key wait, newer ones line up behind them.
--
-- Locks, whoever takes them: queue_controls, lease, lease_marks, job_keys, pauses, limits (by key), job rows. Parked rows
-- are taken before limits, but skipping locked ones.

set local search_path = evergrant, pg_temp;

-- == 1. What runners must know ======================================================================================

-- Counts changes of pauses and limits. Runners read it with every poll, and what has changed when it has. Its row lock
-- puts changes in the order of their commits, so that nobody misses one.
create table queue_controls (
    is_only boolean primary key default true constraint queue_controls_one_row check (is_only),
    version bigint not null default 0
) with (fillfactor = 50);

create function next_version() returns bigint language sql set search_path = pg_catalog, evergrant, pg_temp as $$
    insert into queue_controls as c (version) values (1)
    on conflict (is_only) do update set version = c.version + 1 returning version
$$;

-- The kinds that a worker has handlers for; null for processes that run no jobs.
alter table workers add column kinds int[];

-- == 2. Limits ======================================================================================================

create table limits (
    key text primary key constraint limits_key_length check (length(key) between 1 and 200),
    version bigint not null,                    -- of queue_controls, when it was last made, changed or removed
    concurrency int constraint limits_concurrency check (concurrency >= 0),  -- jobs at a time; null: any number
    rate float8 constraint limits_rate check (rate > 0),                     -- starts a second; null: any number
    burst int constraint limits_burst check (burst >= 1),                    -- starts at once after a pause
    in_use int not null default 0,              -- rows of limit_holds with this key
    tokens float8 not null default 0,           -- starts allowed at refilled_at
    refilled_at timestamptz not null default clock_timestamp(),
    blocked_until timestamptz,                  -- nothing starts before: a provider said so
    blocked_because text,
    constraint limits_rate_has_burst check ((rate is null) = (burst is null))
) with (fillfactor = 50, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);
create index limits_version on limits (version);

create table limit_holds (
    lease_id bigint,
    job_id bigint,
    key text,
    primary key (lease_id, job_id, key)
) with (autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

-- How jobs come back from `wait`.
create index jobs_parked_turn on jobs_parked (limit_key, ((job).priority), job_id) where reason = 'wait';

-- Starts that the rate of a limit allows at once, now.
create function tokens_now(l limits) returns float8 language sql volatile as $$
    select least(
        l.burst, l.tokens + greatest(0, extract(epoch from clock_timestamp() - l.refilled_at)::float8) * l.rate)
$$;

-- Starts that a limit allows now: a big number where nothing limits. Means something while its row is locked.
create function room(l limits) returns int language sql volatile as $$
    select case
        when l.blocked_until > clock_timestamp() then 0
        else least(
            coalesce(l.concurrency - l.in_use, 1000000),
            case when l.rate is null then 1000000 else floor(evergrant.tokens_now(l) + 1e-9) end)::int
    end
$$;

-- Seconds until a limit may allow a start; null when only the end of a running job can tell.
create function wait_of(l limits) returns float8 language sql volatile as $$
    select case
        when l.blocked_until > clock_timestamp() then extract(epoch from l.blocked_until - clock_timestamp())::float8
        when l.concurrency <= l.in_use then null
        when l.rate is not null then greatest(0, (1 - evergrant.tokens_now(l)) / l.rate)
        else 0
    end
$$;

-- Gives back the room that jobs of these leases have: those of `some_jobs`, or all (null).
create function free_holds(leases bigint[], some_jobs bigint[]) returns void language plpgsql
set search_path = pg_catalog, evergrant, pg_temp set enable_seqscan = off as $$
begin
    if not exists (select from limit_holds h where h.lease_id = any(leases)) then return; end if;
    perform 1 from limits l
        where l.key in (
            select h.key from limit_holds h where h.lease_id = any(leases) and (some_jobs is null or h.job_id = any(some_jobs)))
        order by l.key for update;
    with d as (
        delete from limit_holds h where h.lease_id = any(leases) and (some_jobs is null or h.job_id = any(some_jobs))
        returning h.key)
    update limits l set in_use = l.in_use - d.n
    from (select d.key, count(*)::int n from d group by d.key) d where l.key = d.key;
end $$;

-- Takes room for jobs in the order given, all keys of a job or none; returns for each the first key that had none, null
-- when it may start. `wanted`: the keys of each job, one a line. `lease`: whose the room is; with `peek` the jobs are
-- parked ones, and those that wait already are no reason to line up behind. The caller holds the lease, or makes it.
create function take_room(lease bigint, jobs bigint[], wanted text[], peek boolean)
returns table (o_job bigint, o_short text) language plpgsql
set search_path = pg_catalog, evergrant, pg_temp set enable_seqscan = off as $$
declare
    names text[];
    rooms int[];
    taken int[];
    mine text[];
    at int;
    place int;
begin
    -- 1. Their limits, locked in order.
    perform 1 from limits l
        where l.key in (select k from unnest(wanted) w, unnest(string_to_array(w, E'\n')) k) order by l.key for update;
    select array_agg(l.key order by l.key),
        array_agg(
            case when not peek and exists (select from jobs_parked p where p.reason = 'wait' and p.limit_key = l.key)
                then 0 else room(l) end order by l.key)
    into names, rooms
    from limits l where l.key in (select k from unnest(wanted) w, unnest(string_to_array(w, E'\n')) k);
    taken := array_fill(0, array[coalesce(cardinality(names), 0)]);

    -- 2. Who may start.
    for place in 1 .. cardinality(jobs) loop
        o_job := jobs[place];
        o_short := null;
        mine := string_to_array(wanted[place], E'\n');
        for at in 1 .. cardinality(taken) loop
            if names[at] = any(mine) and taken[at] >= rooms[at] then
                o_short := names[at];
                exit;
            end if;
        end loop;
        if o_short is null then
            for at in 1 .. cardinality(taken) loop
                if names[at] = any(mine) then
                    taken[at] := taken[at] + 1;
                end if;
            end loop;
            insert into limit_holds
            select lease, o_job, l.key from limits l where l.key = any(mine) and l.concurrency is not null;
        end if;
        return next;
    end loop;

    -- 3. What they took.
    update limits l
    set in_use = case when l.concurrency is null then l.in_use else l.in_use + t.n end,
        tokens = case when l.rate is null then l.tokens else tokens_now(l) - t.n end,
        refilled_at = clock_timestamp()
    from unnest(names, taken) t(key, n) where l.key = t.key and t.n > 0;
end $$;

-- Which jobs of a claimed lease may start: those with a null key. The others name the key that had no room, and seconds
-- until it may have some (null: when a running job ends). No row: the lease is lost.
create function admit(lease bigint, me bigint, jobs bigint[], wanted text[])
returns table (o_job bigint, o_short text, o_wait float8) language plpgsql
set search_path = pg_catalog, evergrant, pg_temp set enable_seqscan = off as $$
begin
    perform 1 from leases l where l.id = lease and l.worker = me for key share;
    if not found then return; end if;
    -- Asked for again, after a lost answer: what it took then is given back first.
    perform free_holds(array[lease], jobs);
    for o_job, o_short in select t.o_job, t.o_short from take_room(lease, jobs, wanted, false) t loop
        o_wait := null;
        if o_short is not null then
            select wait_of(l) into o_wait from limits l where l.key = o_short;  -- a statement later: sees what was taken
        end if;
        return next;
    end loop;
end $$;

-- Claims up to `want` parked jobs whose limits have room, most urgent first within each key, as a lease of their own.
-- Looks at 100 keys, beginning after `after`; the first row tells how far it came (`o_next`, null at the end) and in how
-- many seconds the next of the keys it saw may have room. Jobs short of another key wait for that one from now on.
create function claim_parked(me bigint, want int, after text)
returns table (
    o_next text, o_wait float8, o_lease bigint, o_job bigint, o_kind int, o_queue int, o_priority smallint,
    o_attempt smallint, o_max_attempts smallint, o_crashes smallint, o_limit_key text, o_args jsonb)
language plpgsql set search_path = pg_catalog, evergrant, pg_temp set enable_seqscan = off as $$
declare
    seen text := after;
    one text;
    l limits;
    n int := 0;
    ids bigint[] := '{}';
    wanted text[] := '{}';
    started bigint[] := '{}';
    lease bigint;
    found_room record;
    j jobs_ready;
begin
    if not exists (select from workers w where w.id = me and not w.dead) then return; end if;

    -- 1. Candidates, key by key, without their limits locked.
    while n < 100 and cardinality(ids) < want loop
        one := null;
        select p.limit_key into one from jobs_parked p
            where p.reason = 'wait' and (seen is null or p.limit_key > seen) order by p.limit_key limit 1;
        o_next := one;
        exit when one is null;
        seen := one;
        n := n + 1;
        continue when exists (select from pauses z where z.reason = 'limit' and z.limit_key = one);
        select * into l from limits x where x.key = one;
        if found and room(l) <= 0 then
            o_wait := least(o_wait, wait_of(l));
        else
            select ids || coalesce(array_agg(c.job_id order by c.priority, c.job_id), '{}'),
                wanted || coalesce(array_agg(c.keys order by c.priority, c.job_id), '{}')
            into ids, wanted
            from (
                select p.job_id, (p.job).priority, (p.job).limit_key as keys from jobs_parked p
                where p.reason = 'wait' and p.limit_key = one and p.job_id <> all(ids)
                  and not exists (select from queues q where q.id = (p.job).queue and q.paused)
                order by (p.job).priority, p.job_id
                limit least(want - cardinality(ids), case when l.key is null then want else room(l) end)
                for update skip locked) c;
        end if;
    end loop;
    return next;
    if ids = '{}' then return; end if;

    -- 2. Those that have room, with their limits locked; the others wait for what they are short of.
    lease := nextval(pg_get_serial_sequence('evergrant.leases', 'id'));
    for found_room in select * from take_room(lease, ids, wanted, true) loop
        if found_room.o_short is null then
            started := started || found_room.o_job;
        else
            update jobs_parked p set limit_key = found_room.o_short
            where p.job_id = found_room.o_job and p.limit_key <> found_room.o_short;
        end if;
    end loop;
    if started = '{}' then return; end if;

    -- 3. Their lease. It has holds, so it is settled by function only.
    o_lease := lease;
    for j in
        with d as (delete from jobs_parked p where p.job_id = any(started) returning p.job),
        n as (
            insert into leases (id, worker, keyed, jobs) overriding system value
            select lease, me, true, array_agg(d.job) from d)
        select (d.job).* from d
    loop
        o_job := coalesce(j.job_id, j.id);
        o_kind := j.kind;
        o_queue := j.queue;
        o_priority := j.priority;
        o_attempt := j.attempt;
        o_max_attempts := j.max_attempts;
        o_crashes := j.crashes;
        o_limit_key := j.limit_key;
        o_args := j.args;
        return next;
    end loop;
end $$;

-- == 3. Settling, giving back and resuming, as before but for holds and waiting jobs =================================

-- As in 0002, and: room under limits goes back (step 3); act 3 with reason `wait` parks without a pause.
create or replace function settle_rows(
    lease bigint, me bigint, ids bigint[], acts smallint[], delays float8[], notes jsonb[])
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

    -- 3. Their room under limits, for the next ones.
    perform free_holds(array[lease], todo);

    -- 4. The jobs, with a fresh snapshot.
    with s as materialized (
        select j, coalesce(j.job_id, j.id) jid, k.again_at, k.job_id is not null held,
            case when u.act = 3 and p.reason is null and u.note ->> 'reason' <> 'wait' then 4
                else u.act end act,  -- resumed meanwhile: give back
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

-- As in 0002, and room under limits goes back.
create or replace function release_leases(ids bigint[], me bigint) returns bigint
language plpgsql set search_path = pg_catalog, evergrant, pg_temp set enable_seqscan = off as $$
declare
    mine bigint[];
    n bigint;
begin
    select array_agg(x.id) into mine
    from (select l.id from leases l where l.id = any(ids) and l.worker = me order by l.id for update) x;
    perform free_holds(mine, null);
    with t as (delete from lease_marks where lease_id = any(mine) returning lease_id, job_id),
    x as (delete from leases where id = any(mine) returning id, jobs)
    select put(array_agg(j)) into n from x, unnest(x.jobs) j
    where not exists (select from t where t.lease_id = x.id and t.job_id = coalesce(j.job_id, j.id));
    return coalesce(n, 0);
end $$;

-- == 4. Operators ===================================================================================================

-- Makes or changes a limit, at once for jobs that have not started.
create function set_limit(what text, most int, per_second float8, at_once int) returns void language plpgsql
set search_path = pg_catalog, evergrant, pg_temp as $$
declare
    v bigint := next_version();
begin
    insert into limits as l (key, version, concurrency, rate, burst, tokens)
    values (what, v, most, per_second, at_once, coalesce(at_once, 0))
    on conflict (key) do update set
        version = v, concurrency = most, rate = per_second, burst = at_once,
        tokens = case when l.rate is null then coalesce(at_once, 0) else least(tokens_now(l), at_once) end,
        refilled_at = clock_timestamp();
end $$;

-- Nothing of this key starts for so many seconds: what a provider's 429 or Retry-After asks for. Never shortens a block.
create function block_limit(what text, seconds float8, because text) returns void language plpgsql
set search_path = pg_catalog, evergrant, pg_temp as $$
begin
    update limits l
    set blocked_until = greatest(l.blocked_until, clock_timestamp() + seconds * interval '1 second'),
        blocked_because = because
    where l.key = what;
    if not found then
        insert into limits as l (key, version, blocked_until, blocked_because)
        values (what, next_version(), clock_timestamp() + seconds * interval '1 second', because)
        on conflict (key) do update set
            blocked_until = greatest(l.blocked_until, excluded.blocked_until), blocked_because = because;
    end if;
end $$;

-- Lifts limit and block; false when there was none. The row stays for `forget_limits`.
create function remove_limit(what text) returns boolean language plpgsql
set search_path = pg_catalog, evergrant, pg_temp as $$
begin
    perform next_version();
    update limits l
    set version = (select c.version from queue_controls c), concurrency = null, rate = null, burst = null,
        blocked_until = null, blocked_because = null
    where l.key = what and (l.concurrency is not null or l.rate is not null or l.blocked_until is not null);
    return found;
end $$;

-- Deletes rows that limit nothing any more. A runner that missed the news asks for a key without a row: it may start.
create function forget_limits() returns bigint language sql
set search_path = pg_catalog, evergrant, pg_temp as $$
    with d as (
        delete from limits l
        where l.key = any(array(
            select key from limits
            where concurrency is null and rate is null and in_use = 0
              and (blocked_until is null or blocked_until < clock_timestamp() - interval '1 hour')
            order by key for update skip locked))
        returning 1)
    select count(*) from d
$$;

-- Stops starts of a kind (why: `kind`) or a limit key (`limit`), from each runner's next poll on; false when it was
-- stopped before. Jobs that run go on.
create function pause(why text, what text) returns boolean language plpgsql
set search_path = pg_catalog, evergrant, pg_temp as $$
begin
    perform next_version();
    insert into pauses (reason, limit_key) values (why, what) on conflict do nothing;
    return found;
end $$;

create or replace function resume(why text, what text, most int) returns bigint
language plpgsql set search_path = pg_catalog, evergrant, pg_temp set enable_seqscan = off as $$
declare
    n bigint;
begin
    if exists (select from pauses where reason = why and limit_key = what) then
        perform next_version();
        delete from pauses where reason = why and limit_key = what;
    end if;
    with d as (
        delete from jobs_parked
        where job_id = any(array(
            select job_id from jobs_parked where reason = why and limit_key = what
            order by job_id limit most for update skip locked))
        returning job_id, job)
    select put(array_agg(job order by job_id)) into n from d;
    return coalesce(n, 0);
end $$;

revoke all on all functions in schema evergrant from public;
