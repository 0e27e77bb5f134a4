-- Enqueue from any language: functions for the app's own database login, called inside the app's own transactions.
--
-- A login sees no table. It calls functions that run with the owner's rights and look up in app_grants what the
-- session's user may do. `session_user` is the login whatever SET ROLE says; behind a pooler it is the pooler's login.
-- Functions for apps have a comment that begins with "app:", by which `evergrant migrate --roles` finds them; all
-- others stay with the owner and Evergrant's processes.
--
-- Errors for apps (docs/enqueue.md):
--   EG101 the role may not use the environment      EG106 something given cannot be; the message says which
--   EG102 the environment has to be named           EG107 the environment has as many queues as it may
--   EG103 the role may not use the kind             EG108 an open transaction is making the queue: try again
--   EG104 the priority is too urgent for the role   EG109 args name a row that this environment does not have
--   EG105 more jobs, or more bytes, than one call may

set local search_path = evergrant, pg_temp;

-- == 1. Who may what ================================================================================================

-- One row for a role and an environment. It holds for the login of that name and for logins that are members of the
-- role (with INHERIT), so that logins can come and go; several rows that hold for a login add up. No row: nothing is
-- allowed. `evergrant apps allow` writes it. Names, not oids: they survive a dump. Whoever drops a role denies it
-- first.
create table app_grants (
    role name not null,
    environment_id bigint not null references environments on delete cascade,
    kinds int[] not null constraint app_grants_kinds_known check (array_position(kinds, null) is null),  -- of job_kinds
    best_priority smallint not null default 2
        constraint app_grants_priority_range check (best_priority between 0 and 3),
    largest_batch int not null default 1000 constraint app_grants_batch_range check (largest_batch between 1 and 10000),
    -- Queues take turns, so whoever could make any number of them would have any number of turns.
    most_queues int not null default 10 constraint app_grants_queues_range check (most_queues between 0 and 1000),
    created_at timestamptz not null default now(),
    changed_at timestamptz not null default now(),
    primary key (role, environment_id)
);

-- What holds for this session. A superuser counts as a member of every role. No SET, here and in app_args, so that
-- calls are cheap; those who call set the search_path.
create function app_rights() returns setof app_grants language sql stable as $$
    select g.* from evergrant.app_grants g
    where pg_has_role(session_user, to_regrole(quote_ident(g.role))::oid, 'usage')
$$;

-- A word as a shell takes it, for the commands in hints: what an app sends may end up on an operator's command line.
create function app_word(word text) returns text language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case when word ~ '^[A-Za-z0-9_.:-]+$' and left(word, 1) <> '-' then word
        else '''' || replace(left(regexp_replace(word, '[[:cntrl:]]', '?', 'g'), 200), '''', E'''\\''''') || '''' end
$$;

-- The environment named, or the only one this session may use. EG101 says the same of one that is another's and of one
-- that does not exist.
create function app_environment(wanted text, out id bigint, out name text)
language plpgsql stable set search_path = pg_catalog, evergrant, pg_temp as $$
declare
    names text[];
begin
    select array_agg(e.name order by e.name), min(e.id) into names, id
    from environments e
    where e.id in (select r.environment_id from app_rights() r) and (wanted is null or e.name = wanted);
    if cardinality(names) = 1 then
        name := names[1];
    elsif names is null then
        raise exception using errcode = 'EG101',
            message = format('role "%s" may not use %s', session_user,
                coalesce('environment "' || left(wanted, 80) || '"', 'any environment')),
            hint = format('An operator allows it: evergrant apps allow --role %s --environment %s --kind <kind>',
                app_word(session_user), coalesce(app_word(wanted), '<environment>'));
    else
        raise exception using errcode = 'EG102',
            message = format('role "%s" may use %s environments, so the call has to name one', session_user,
                cardinality(names)),
            hint = format('Pass environment => one of: %s', array_to_string(names, ', '));
    end if;
end $$;

-- == 2. What is asked for ===========================================================================================

-- The queue's id. A name seen for the first time is made in the caller's transaction: with its rollback it is gone.
-- Evergrant's processes read names over sessions of their own, so they never see an id that may still go. Whoever wants
-- the same new name meanwhile waits for that transaction, here for up to a second; `evergrant apps allow` makes the
-- queue `default` beforehand. `most` is kept to within what is made at the same moment.
create function app_queue(environment bigint, wanted text, most int) returns int
language plpgsql set search_path = pg_catalog, evergrant, pg_temp set lock_timeout = '1s' as $$
declare
    found_id int;
begin
    loop
        select q.id into found_id from queues q where q.environment_id = environment and q.name = wanted;
        if found then return found_id; end if;
        if (select count(*) from queues q where q.environment_id = environment) >= most then
            raise exception using errcode = 'EG107',
                message = format('queue "%s" does not exist, and role "%s" may make no more: the environment has %s',
                    wanted, session_user, (select count(*) from queues q where q.environment_id = environment)),
                hint = format('Use one of: %s. Or an operator allows more: evergrant apps allow --role %s … '
                    '--queues %s', (select string_agg(x.name, ', ') from (select q.name from queues q
                        where q.environment_id = environment order by q.name limit 20) x),
                    app_word(session_user), most + 10);
        end if;
        insert into queues (environment_id, name) values (environment, wanted)
        on conflict do nothing returning id into found_id;
        if found then return found_id; end if;
        -- made by a transaction that has just committed: the next snapshot has it
    end loop;
exception when lock_not_available then
    raise exception using errcode = 'EG108',
        message = format('queue "%s" is being made by another transaction that is still open', wanted),
        hint = 'Try again when that transaction has ended; it commits soon if it is short.';
end $$;

-- The arguments as Evergrant's own kinds want them, null when they name a row of another environment, or none. Handlers
-- go by row ids, and these are nobody's to choose: `connection` (conn_…, or the row's id) and `delivery` (dlv_…, or the
-- row's id) are looked up in the environment. A refresh is of the present generation unless another is given.
-- A new kind of ours that names rows is added here before it can be allowed to apps.
create function app_args(environment bigint, kind text, args jsonb) returns jsonb language plpgsql stable as $$
declare
    given text;
    row_id bigint;
    newest bigint;
begin
    if kind like 'connection.%' then
        given := args ->> 'connection';
        if given ~ '^conn_[0-9a-f]{32}$' then
            select c.id, c.generation into row_id, newest from evergrant.connections c
            where c.uid = substr(given, 6)::uuid and c.environment_id = environment;
        elsif given ~ '^[0-9]{1,18}$' then
            select c.id, c.generation into row_id, newest from evergrant.connections c
            where c.id = given::bigint and c.environment_id = environment;
        end if;
        if row_id is null then return null; end if;
        if kind = 'connection.refresh' then  -- whether a broken connection reopens is not the app's to say
            args := jsonb_build_object('generation', newest) || args - 'reopens';
        end if;
        return args || jsonb_build_object('connection', row_id);
    elsif kind like 'webhook.%' then
        given := args ->> 'delivery';
        if given ~ '^dlv_[0-9a-f]{32}$' then
            select d.id into row_id from evergrant.deliveries d where d.uid = given and d.environment_id = environment;
        elsif given ~ '^[0-9]{1,18}$' then
            select d.id into row_id from evergrant.deliveries d
            where d.id = given::bigint and d.environment_id = environment;
        end if;
        if row_id is null then return null; end if;
        return args || jsonb_build_object('delivery', row_id);
    end if;
    return args;
end $$;

-- Checks everything, then enqueues: all jobs or none. Arrays of one length; a null is the default of its field. Keys
-- are in space 1, `<environment id>/<kind>/<key>`; limit keys become `app:<environment>:<key>`, so that no app meets
-- Evergrant's or another environment's.
create function app_enqueue(wanted text, kind_names text[], arguments jsonb[], queue_names text[], urgencies int[],
    run_ats timestamptz[], unique_keys text[], attempts int[], limit_keys text[])
returns table (place int, job_id bigint, outcome text)
language plpgsql set search_path = pg_catalog, evergrant, pg_temp as $$
declare
    many boolean := cardinality(kind_names) > 1;
    home record;
    wrong record;
    stranger int;       -- place of the first kind that is not allowed
    urgent int;         -- place of the first priority that is not
    best int;
    most_jobs int;
    most_queues int;
    kind_ids int[];
    queue_ids int[];
    plain record;
    alike record;
begin
    -- 1. Can it be at all? The first job that cannot is named.
    select u.place, f.fault into wrong
    from unnest(kind_names, arguments, queue_names, urgencies, run_ats, unique_keys, attempts, limit_keys)
            with ordinality u(kind, args, queue, urgency, run_at, unique_key, most, limit_key, place),
        lateral (select case
            when u.kind is null or length(u.kind) not between 1 and 200 then 'kind needs 1 to 200 characters'
            when jsonb_typeof(u.args) <> 'object' then
                format('args is a JSON %s, needs an object', jsonb_typeof(u.args))
            when octet_length(u.args::text) > 65536 then format('args has %s bytes, may have 65536: keep the data in '
                'a table of yours and pass its id', octet_length(u.args::text))
            when u.queue !~ '^[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}$' then
                'queue needs 1 to 100 letters, digits, dots, colons, _ and -, a letter or digit first'
            when u.urgency not between 0 and 3 then format('priority is %s, needs 0 to 3', u.urgency)
            when not isfinite(u.run_at) or u.run_at > now() + interval '10 years' then
                format('run_at is %s, may be ten years ahead', u.run_at)
            when octet_length(u.unique_key) not between 1 and 500 then
                format('unique_key has %s bytes, needs 1 to 500', octet_length(u.unique_key))
            when u.most not between 1 and 1000 then format('max_attempts is %s, needs 1 to 1000', u.most)
            -- one a line as stored: a line feed would let the app name limits of others
            when length(u.limit_key) not between 1 and 100 or u.limit_key ~ E'[\\x01-\\x1f\\x7f]' then
                'limit_key needs 1 to 100 characters, no control characters'
        end) f(fault)
    where f.fault is not null order by u.place limit 1;
    if found then
        raise exception using errcode = 'EG106',
            message = case when many then format('job %s: ', wrong.place) else '' end || wrong.fault;
    end if;

    -- 2. May this session? Environment, size, kinds, priorities.
    select * into home from app_environment(wanted);
    select max(r.largest_batch), max(r.most_queues) into most_jobs, most_queues
    from app_rights() r where r.environment_id = home.id;
    if cardinality(kind_names) > most_jobs then
        raise exception using errcode = 'EG105',
            message = format('one call has %s jobs, role "%s" may send %s', cardinality(kind_names), session_user,
                most_jobs),
            hint = format('Send them in several calls; one transaction may hold any number. Or an operator allows '
                'more: evergrant apps allow --role %s … --batch <jobs>', app_word(session_user));
    end if;
    with allowed as materialized (
        select k.name, k.id, min(r.best_priority) best
        from app_rights() r join job_kinds k on k.id = any(r.kinds)
        where r.environment_id = home.id group by k.name, k.id),
    u as (
        select u.*, a.id, a.best from unnest(kind_names, urgencies) with ordinality u(kind, urgency, place)
        left join allowed a on a.name = u.kind)
    select array_agg(u.id order by u.place), min(u.place) filter (where u.id is null),
        min(u.place) filter (where coalesce(u.urgency, 2) < u.best)
    into kind_ids, stranger, urgent from u;
    if stranger is not null then
        raise exception using errcode = 'EG103',
            message = format('role "%s" may not use kind "%s" in environment "%s"', session_user,
                left(kind_names[stranger], 80), home.name),
            hint = format('An operator allows it: evergrant apps allow --role %s --environment %s --kind %s',
                app_word(session_user), home.name, app_word(kind_names[stranger]));
    elsif urgent is not null then
        select min(r.best_priority) into best
        from app_rights() r where r.environment_id = home.id and kind_ids[urgent] = any(r.kinds);
        raise exception using errcode = 'EG104',
            message = format('role "%s" may not use priority %s for kind "%s" in environment "%s": %s at best',
                session_user, coalesce(urgencies[urgent], 2), kind_names[urgent], home.name, best),
            hint = format('A lower number goes first. An operator allows it: evergrant apps allow --role %s '
                '--environment %s --kind %s --priority %s', app_word(session_user), home.name,
                app_word(kind_names[urgent]), coalesce(urgencies[urgent], 2));
    end if;

    -- 3. Rows that the arguments name.
    arguments := array(
        select app_args(home.id, u.kind, coalesce(u.args, '{}'))
        from unnest(kind_names, arguments) with ordinality u(kind, args, place) order by u.place);
    if array_position(arguments, null) is not null then
        raise exception using errcode = 'EG109',
            message = format('%sargs of kind "%s" name no %s of environment "%s"',
                case when many then format('job %s: ', array_position(arguments, null)) else '' end,
                kind_names[array_position(arguments, null)],
                case when kind_names[array_position(arguments, null)] like 'webhook.%' then 'delivery'
                    else 'connection' end, home.name),
            hint = 'Pass {"connection": "conn_…"}, or {"delivery": "dlv_…"} for kinds of webhooks, with an id of this '
                'environment.';
    end if;

    -- 4. Queues, in the order of their names: whoever makes two makes them in this order.
    with made as materialized (
        select d.name, app_queue(home.id, d.name, most_queues) id
        from (select distinct coalesce(n, 'default') as name from unnest(queue_names) n order by 1) d)
    select array_agg(m.id order by u.place) into queue_ids
    from unnest(queue_names) with ordinality u(name, place) join made m on m.name = coalesce(u.name, 'default');

    -- 5. Jobs without key, in one insert; the function for those that are due later costs a plan each time.
    select array_agg(u.place order by u.place) places, array_agg(u.queue order by u.place) queues,
        array_agg(u.kind order by u.place) kinds, array_agg(u.urgency order by u.place) urgencies,
        array_agg(u.most order by u.place) attempts, array_agg(u.limit_key order by u.place) limit_keys,
        array_agg(u.run_at order by u.place) run_ats, array_agg(u.args order by u.place) args
    into plain
    from (
        select u.place::int, u.queue, u.kind, coalesce(u.urgency, 2)::smallint urgency,
            coalesce(u.most, 25)::smallint most, 'app:' || home.name || ':' || u.limit_key limit_key, u.run_at, u.args
        from unnest(queue_ids, kind_ids, urgencies, attempts, limit_keys, run_ats, arguments, unique_keys)
            with ordinality u(queue, kind, urgency, most, limit_key, run_at, args, unique_key, place)
        where u.unique_key is null) u;
    if plain.places is not null and not exists (select from unnest(plain.run_ats) t where t > now()) then
        return query
            with i as (
                insert into jobs_ready (queue, kind, priority, max_attempts, limit_key, args)
                select u.queue, u.kind, u.urgency, u.most, u.limit_key, u.args
                from unnest(plain.queues, plain.kinds, plain.urgencies, plain.attempts, plain.limit_keys, plain.args)
                    with ordinality u(queue, kind, urgency, most, limit_key, args, place)
                order by u.place
                returning id)
            select plain.places[row_number() over (order by i.id)], i.id, 'new' from i;
    elsif plain.places is not null then
        return query
            select plain.places[e.line], e.id, 'new'
            from enqueue_jobs(plain.queues, plain.kinds, plain.urgencies, plain.attempts, plain.limit_keys,
                plain.run_ats, plain.args) with ordinality e(id, line);
    end if;

    -- 6. Jobs with key: those that differ in nothing but key and arguments together.
    for alike in
        select u.queue, u.kind, coalesce(u.urgency, 2)::smallint urgency, u.run_at, coalesce(u.most, 25)::smallint most,
            u.limit_key, array_agg(u.place::int) places, array_agg(u.args) args,
            array_agg(convert_to(home.id || '/' || u.kind_name || '/' || u.unique_key, 'UTF8')) keys
        from unnest(queue_ids, kind_ids, urgencies, attempts, limit_keys, run_ats, arguments, unique_keys, kind_names)
            with ordinality u(queue, kind, urgency, most, limit_key, run_at, args, unique_key, kind_name, place)
        where u.unique_key is not null
        group by 1, 2, 3, 4, 5, 6 order by min(u.unique_key)
    loop
        return query
            select p.place, e.o_job, e.o_what
            from enqueue_keyed(1::smallint, alike.keys, alike.queue, alike.urgency, alike.kind, alike.args,
                alike.run_at, alike.most, 'app:' || home.name || ':' || alike.limit_key) e
            join unnest(alike.keys, alike.places) p(key, place) on p.key = e.o_key;
    end loop;
end $$;

-- == 3. The functions for apps ======================================================================================

-- An app's session has what settings it likes: without `jit = off` a penalty such as that of `enable_seqscan = off`
-- sets the compiler to work, for 300 ms.

create function enqueue(kind text, args jsonb default '{}', environment text default null, queue text default 'default',
    priority int default 2, run_at timestamptz default null, unique_key text default null, max_attempts int default 25,
    limit_key text default null)
returns bigint
language plpgsql security definer set search_path = pg_catalog, evergrant, pg_temp set jit = off as $$
declare
    answer bigint;
begin
    select e.job_id into answer
    from app_enqueue($3, array[$1], array[$2], array[$4], array[$5], array[$6], array[$7], array[$8], array[$9]) e;
    return answer;
end $$;
comment on function enqueue is 'app: enqueues one job in the caller''s transaction and returns its id. With unique_key '
    'it is the id of the job that does the work; null: another open transaction has the key, or this one is repeatable '
    'read; the job is made within a second of the commit.';

create function enqueue_many(jobs jsonb, environment text default null)
returns table (place int, job_id bigint, outcome text)
language plpgsql security definer set search_path = pg_catalog, evergrant, pg_temp set jit = off as $$
declare
    job jsonb;
    line int := 0;
    unknown text;
    kinds text[] := '{}';
    arguments jsonb[] := '{}';
    queues text[] := '{}';
    urgencies int[] := '{}';
    run_ats timestamptz[] := '{}';
    unique_keys text[] := '{}';
    attempts int[] := '{}';
    limit_keys text[] := '{}';
begin
    if jsonb_typeof(jobs) is distinct from 'array' then
        raise exception using errcode = 'EG106', message = 'jobs is not a JSON array',
            hint = 'Pass [{"kind": "…", "args": {…}}, …].';
    elsif jsonb_array_length(jobs) > 10000 then
        raise exception using errcode = 'EG105',
            message = format('one call has %s jobs, may have 10000', jsonb_array_length(jobs)),
            hint = 'Send them in several calls; one transaction may hold any number.';
    elsif octet_length(jobs::text) > 16777216 then
        raise exception using errcode = 'EG105',
            message = format('one call has %s bytes, may have 16777216', octet_length(jobs::text)),
            hint = 'Send them in several calls; one transaction may hold any number.';
    end if;
    begin
        for job in select e.value from jsonb_array_elements(jobs) e loop
            line := line + 1;
            if jsonb_typeof(job) <> 'object' then
                raise exception using errcode = 'EG106',
                    message = format('job %s: is a JSON %s, needs an object', line, jsonb_typeof(job));
            end if;
            select min(k) into unknown from jsonb_object_keys(job) k
            where k not in ('kind', 'args', 'queue', 'priority', 'run_at', 'unique_key', 'max_attempts', 'limit_key');
            if unknown is not null then
                raise exception using errcode = 'EG106',
                    message = format('job %s: unknown field "%s"', line, left(unknown, 80)),
                    hint = 'Fields are kind, args, queue, priority, run_at, unique_key, max_attempts and limit_key.';
            end if;
            kinds[line] := job ->> 'kind';
            arguments[line] := nullif(job -> 'args', 'null');
            queues[line] := job ->> 'queue';
            urgencies[line] := (job ->> 'priority')::int;
            run_ats[line] := (job ->> 'run_at')::timestamptz;
            unique_keys[line] := job ->> 'unique_key';
            attempts[line] := (job ->> 'max_attempts')::int;
            limit_keys[line] := job ->> 'limit_key';
        end loop;
    exception when data_exception then
        raise exception using errcode = 'EG106', message = format('job %s: %s', line, sqlerrm),
            hint = 'priority and max_attempts are whole numbers, run_at is a time: 2026-01-31T09:00:00Z.';
    end;
    return query
        select e.place, e.job_id, e.outcome
        from app_enqueue(environment, kinds, arguments, queues, urgencies, run_ats, unique_keys, attempts, limit_keys) e
        order by e.place;
end $$;
comment on function enqueue_many is 'app: enqueues [{"kind", "args", "queue", "priority", "run_at", "unique_key", '
    '"max_attempts", "limit_key"}, …], all or none; one row for each, in their order, place from 1. outcome: new, '
    'forward, waiting, parked, again, wish.';

-- The job, when this session may see it: what a role may enqueue it may also see, cancel and retry, whoever enqueued
-- it.
create function app_job(want bigint) returns table (
    state text, environment text, queue text, kind text, priority smallint, attempt smallint, max_attempts smallint,
    created_at timestamptz, at timestamptz, unique_key text, limit_key text, errors jsonb, args jsonb)
language plpgsql stable set search_path = pg_catalog, evergrant, pg_temp as $$
begin
    if not exists (select from app_rights()) then perform app_environment(null); end if;
    return query
        select f.state, e.name, q.name, k.name, f.priority, f.attempt, f.max_attempts, f.created_at, f.at,
            case when f.space = 1
                then substr(convert_from(f.ukey, 'UTF8'), length(e.id || '/' || k.name || '/') + 1) end,
            case when starts_with(f.limit_key, 'app:' || e.name || ':')
                then substr(f.limit_key, length('app:' || e.name || ':') + 1) end,
            f.errors, f.args
        from find_job(want) f
            join queues q on q.id = f.queue
            join environments e on e.id = q.environment_id
            join job_kinds k on k.id = f.kind
        where exists (
            select from app_rights() r where r.environment_id = q.environment_id and f.kind = any(r.kinds))
        limit 1;
end $$;

create function job(job_id bigint) returns table (
    id bigint, state text, environment text, queue text, kind text, priority smallint, attempt smallint,
    max_attempts smallint, created_at timestamptz, at timestamptz, unique_key text, limit_key text, errors jsonb,
    args jsonb)
language sql stable security definer set search_path = pg_catalog, evergrant, pg_temp set jit = off as $$
    select $1, j.* from app_job($1) j
$$;
comment on function job is 'app: the job, one row; no row when there is none of the kinds and environments that the '
    'role may use, or its history is dropped.';

create function cancel(job_id bigint) returns text
language plpgsql security definer set search_path = pg_catalog, evergrant, pg_temp set jit = off as $$
begin
    if not exists (select from app_job($1)) then return 'unknown'; end if;
    return cancel_job($1);
end $$;
comment on function cancel is 'app: cancels a waiting job (cancelled) or asks a running one to stop (asked); unknown: '
    'ended, never there, or not of the kinds and environments that the role may use.';

create function retry(job_id bigint) returns text
language plpgsql security definer set search_path = pg_catalog, evergrant, pg_temp set jit = off as $$
declare
    now_is text;
begin
    select j.state into now_is from app_job($1) j;
    if not found then return 'unknown'; end if;
    if now_is <> 'discarded' then return 'not_discarded'; end if;
    if retry_discarded(null, array[$1], 1) = 1 then return 'retried'; end if;
    return case when exists (select from jobs_discarded d where d.job_id = $1) then 'key_taken'
        else 'not_discarded' end;
end $$;
comment on function retry is 'app: runs a discarded job again, attempts from 0 (retried); not_discarded; key_taken: '
    'another job has its unique key; unknown: as for cancel.';

-- Index jobs_ready_lane: one probe a lane, then up to 10,000 entries of it. A plan made while the table was small would
-- read and sort the whole lane.
create function queue_depth(environment text default null, queue text default null)
returns table (name text, priority smallint, jobs int, is_capped boolean, oldest timestamptz)
language plpgsql stable security definer
set search_path = pg_catalog, evergrant, pg_temp
set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off as $$
declare
    home bigint := (select e.id from app_environment($1) e);
begin
    return query
        with recursive lane(q, label, p, at) as (
            select w.id, w.name, x.priority, x.created_at
            from queues w, lateral (
                select r.priority, r.created_at from jobs_ready r where r.queue = w.id
                order by r.queue, r.priority, r.id limit 1) x
            where w.environment_id = home and ($2 is null or w.name = $2)
            union all
            select l.q, l.label, x.priority, x.created_at
            from lane l, lateral (
                select r.priority, r.created_at from jobs_ready r where r.queue = l.q and r.priority > l.p
                order by r.queue, r.priority, r.id limit 1) x)
        select l.label, l.p, c.n, c.n = 10000, l.at
        from lane l, lateral (
            select count(*)::int n from (
                select from jobs_ready r where r.queue = l.q and r.priority = l.p
                order by r.queue, r.priority, r.id limit 10000) y) c
        order by 1, 2;
end $$;
comment on function queue_depth is 'app: jobs in line now, by queue and priority, counted up to 10,000 each, and when '
    'the one at the head was created; of all queues of the environment, or one.';

revoke all on table app_grants from public;
revoke all on all functions in schema evergrant from public;
