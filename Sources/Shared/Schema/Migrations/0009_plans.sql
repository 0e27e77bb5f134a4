-- Keyed enqueues that do not fail for a lock, and plans made while a table was small that do not read all of it later: such
-- a plan is right, and slow for as long as its session keeps it.

set local search_path = evergrant, pg_temp;

-- As in 0002, and: a wish is written without a lock timeout, which an insert meets where the table grows or is truncated;
-- fresh keys are looked up by index, not by a bitmap of everything in the key space.
create or replace function enqueue_keyed(space smallint, keys bytea[], queue int, priority smallint, kind int, args jsonb[],
    run_at timestamptz default null, max_attempts smallint default 25, limit_key text default null)
returns table (o_key bytea, o_job bigint, o_what text)
language plpgsql
set search_path = pg_catalog, evergrant, pg_temp set enable_seqscan = off set enable_bitmapscan = off
set lock_timeout = '50ms' as $$
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
            -- This must not fail: it may wait for an extension or a truncation of the table.
            perform set_config('lock_timeout', '0', true);
            insert into job_wishes (space, key, queue, priority, kind, max_attempts, limit_key, args, run_at)
            values ($1, o_key, $3, $4, $5, $8, $9, a, at);
            perform set_config('lock_timeout', '1ms', true);
        end if;
        return next;
    end loop;
end $$;

-- Read and sorted all waiting jobs to find the next key; jobs_parked_turn has them in order.
alter function claim_parked(bigint, int, text) set enable_bitmapscan = off;
alter function claim_parked(bigint, int, text) set enable_sort = off;
