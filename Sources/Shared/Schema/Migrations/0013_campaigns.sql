-- Campaigns: one action over many connections, at a pace that disturbs nobody.
--
-- The members are a snapshot: rows, written in batches of a few thousand connections, each batch its own short
-- transaction (gather_campaign). A cursor over a frozen predicate would be smaller, but could neither say how many there
-- are, nor list them by outcome, nor count each once when rows change state under it. Whether a member still matches is
-- looked at again when its turn comes.
--
-- A scheduler admits a few members at a time (admit_campaigns); each becomes one job of kind `campaign.member` in the
-- bulk lane. The job's handler writes the member's outcome: jobs outside campaigns pay nothing for the counting.
--
-- A member:  queued -> admitted (its job is in line) -> running -> succeeded | refused | trouble | skipped
--            admitted, running -> queued when the campaign is paused as the job begins, or when the job was lost
-- A campaign: gathering -> running -> finished;  gathering, running -> cancelling -> cancelled;  paused_at holds it
--
-- Locks, in this order: campaigns row, campaign_members rows, campaign_tallies row. Handlers never lock the campaign.
--
-- Errors for apps beside those of 0006: EG110 the key stands for another campaign, EG111 the campaign has ended.

set local search_path = evergrant, pg_temp;

-- == 1. Tables ======================================================================================================

create table campaigns (
    id bigint generated always as identity primary key,
    uid text not null unique default 'cmp_' || replace(gen_random_uuid()::text, '-', ''),
    environment_id bigint not null references environments,
    action text not null constraint campaign_action_is_known
        check (action in ('refresh', 'validate', 'revoke', 'reconnect', 'rewrap')),
    selection jsonb not null,                     -- as campaign_selection returns it
    oauth_app_ids bigint[],                       -- of selection.oauth_app
    key text,                                     -- the caller's: starting twice makes one
    note text not null default '',
    created_by text not null,
    rate_count int,                               -- at most so many members (identities for reconnect) …
    rate_seconds int,                             -- … in so many seconds; null: as fast as the bulk lane allows
    credit float8 not null default 1,             -- members that may be admitted now, under a rate; at most a second's
    credited_at timestamptz not null default now(),
    state text not null default 'gathering' constraint campaign_state_is_known
        check (state in ('gathering', 'running', 'cancelling', 'cancelled', 'finished')),
    paused_at timestamptz,
    gathered_at timestamptz,                      -- of the last batch
    gather_cursor bigint not null default 0,      -- connection id, or place in the campaign that is selected from
    gather_end bigint,                            -- connections made later are no members
    members bigint not null default 0,
    units bigint not null default 0,              -- jobs: identities for reconnect, else the members
    created_at timestamptz not null default now(),
    started_at timestamptz,                       -- all members are known
    ended_at timestamptz,
    pruned_at timestamptz,                        -- its members are deleted; the counts stay
    constraint one_campaign_a_key unique (environment_id, key),
    constraint a_rate_has_both_parts check ((rate_count is null) = (rate_seconds is null))
);
create index campaigns_of_environment on campaigns (environment_id, id);
create index campaigns_at_work on campaigns (id) where state in ('gathering', 'running', 'cancelling');
create index campaigns_to_prune on campaigns (ended_at) where ended_at is not null and pruned_at is null;

create table campaign_members (
    campaign_id bigint not null references campaigns on delete cascade,
    place bigint not null,                        -- 1, 2, … in the order they are worked
    subject text not null constraint campaign_subject_is_known
        check (subject in ('connection', 'oauth_app', 'webhook_endpoint')),
    subject_id bigint not null,
    identity_type text,                           -- for reconnect alone: one event an identity …
    identity text,
    leads boolean not null default true,          -- … sent with the identity's first member
    state text not null default 'queued' constraint campaign_member_state_is_known check (state in
        ('queued', 'admitted', 'running', 'succeeded', 'refused', 'trouble', 'skipped')),
    detail text,                                  -- why: a word
    generation bigint,                            -- of the connection when it was first begun
    admitted_at timestamptz,                      -- last sign of its job
    losses smallint not null default 0,           -- jobs that began and vanished
    waits smallint not null default 0,            -- looks at an attempt of somebody else
    ended_at timestamptz,
    primary key (campaign_id, place)
) with (autovacuum_vacuum_scale_factor = 0.02);
create index campaign_members_by_state on campaign_members (campaign_id, state, place);
create index campaign_members_of_identity on campaign_members (campaign_id, identity_type, identity)
    where identity is not null;

-- Outcomes, counted in the transaction that writes them; in slots, so that workers do not queue for one row.
create table campaign_tallies (
    campaign_id bigint not null references campaigns on delete cascade,
    slot smallint not null,
    outcome text not null,
    count bigint not null,
    primary key (campaign_id, slot, outcome)
) with (fillfactor = 50);

-- == 2. What is asked for ===========================================================================================

-- The one of `words` that needs the fewest changes to become `word` (Levenshtein), when these are few.
create function nearest_word(word text, words text[]) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    w text;
    a text := lower(left(word, 40));
    best text;
    least_changes int := 1 + greatest(1, length(a) / 3);
    before int[];
    after int[];
begin
    if a is null then return null; end if;
    foreach w in array words loop
        before := array(select g from generate_series(0, length(w)) g);
        for i in 1..length(a) loop
            after := array[i];
            for j in 1..length(w) loop
                after := after || least(before[j + 1] + 1, after[j] + 1,
                    before[j] + (substr(a, i, 1) <> lower(substr(w, j, 1)))::int);
            end loop;
            before := after;
        end loop;
        if before[length(w) + 1] < least_changes then
            least_changes := before[length(w) + 1];
            best := w;
        end if;
    end loop;
    return best;
end $$;

-- Refuses what cannot be: EG106, with the item as the error's constraint name.
create function refuse_campaign(item text, problem text, repair text, nearest text default null) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    raise exception using errcode = 'EG106', message = format('%s %s', item, problem), constraint = item,
        hint = case when nearest is null then repair else format('did you mean "%s"? %s', nearest, repair) end;
end $$;

-- `10/second`, `600/minute`, `5000/hour`, or short: `10/s`, `600/min`, `5000/h`. Null is no rate.
create function campaign_rate(given text, out most int, out seconds int)
language plpgsql stable set search_path = pg_catalog, evergrant, pg_temp as $$
declare
    parts text[];
begin
    if given is null then return; end if;
    parts := regexp_match(given, '^\s*([0-9]{1,7})\s*/\s*(s|sec|second|m|min|minute|h|hour)\s*$');
    if parts is null or parts[1]::int < 1 then
        perform refuse_campaign('rate', format('is "%s"', left(given, 40)),
            'give members a second, minute or hour: 10/second, 600/minute, 5000/hour');
    end if;
    most := parts[1]::int;
    seconds := case left(parts[2], 1) when 's' then 1 when 'm' then 60 else 3600 end;
end $$;

-- The selection in its one form: every field but `all`, `missing_scope: true`, `ends_before` and `of_campaign` an array
-- of distinct texts, `state` always there. Refuses unknown fields and words, and rows of other environments.
create function campaign_selection(environment bigint, wanted_action text, given jsonb) returns jsonb
language plpgsql stable set search_path = pg_catalog, evergrant, pg_temp as $$
declare
    fields text[] := array['all', 'campaign', 'ends_before', 'identity', 'identity_type', 'integration',
        'missing_scope', 'oauth_app', 'outcome', 'provider', 'reason', 'state', 'tag'];
    states text[] := array['pending', 'active', 'degraded', 'suspected', 'broken', 'revoking'];
    reasons text[] := array['refused', 'revoked_at_provider', 'rotation_lost', 'needs_user', 'key_refused',
        'superseded', 'expired', 'not_refreshable', 'provider_trouble', 'app_fault', 'our_trouble', 'unclassified'];
    actions text[] := array['refresh', 'validate', 'revoke', 'reconnect', 'rewrap'];
    fits text[];
    field text;
    value jsonb;
    word text;
    result jsonb := '{}';
begin
    if wanted_action is null or wanted_action <> all(actions) then
        perform refuse_campaign('action', format('is "%s"', left(wanted_action, 40)),
            'give one of refresh, validate, revoke, reconnect, rewrap', nearest_word(wanted_action, actions));
    end if;
    fits := case wanted_action
        when 'refresh' then array['active', 'degraded', 'suspected', 'broken']
        when 'validate' then array['active', 'degraded', 'suspected']
        when 'revoke' then array['pending', 'active', 'degraded', 'suspected', 'broken']
        when 'reconnect' then array['active', 'degraded', 'suspected', 'broken']
        else states end;
    if jsonb_typeof(given) is distinct from 'object' or given = '{}' then
        perform refuse_campaign('selection', 'is not an object that says which connections',
            'give, for example, {"integration": "gmail", "state": "degraded"}, or {"all": true}');
    elsif octet_length(given::text) > 262144 then
        perform refuse_campaign('selection', 'has more than 262144 bytes', 'start several campaigns, or tag the '
            'connections and select the tag');
    end if;
    for field, value in select e.key, e.value from jsonb_each(given) e order by e.key loop
        if field <> all(fields) then
            perform refuse_campaign('selection.' || left(field, 40), 'is no field', 'fields are '
                || array_to_string(fields, ', '), nearest_word(field, fields));
        end if;
        if field = 'all' then
            if value <> 'true' then perform refuse_campaign('selection.all', 'is not true', 'leave it out'); end if;
            result := result || '{"all": true}';
            continue;
        elsif field = 'ends_before' then
            begin
                if jsonb_typeof(value) <> 'string' or not isfinite((value #>> '{}')::timestamptz)
                    or (value #>> '{}') !~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}' then
                    raise exception using errcode = '22007', message = 'no date';
                end if;
            exception when data_exception then
                perform refuse_campaign('selection.ends_before', 'is no date',
                    'give 2026-12-31, or 2026-12-31T09:00:00Z');
            end;
            result := result || jsonb_build_object('ends_before', rfc3339((value #>> '{}')::timestamptz));
            continue;
        elsif field = 'missing_scope' and value = 'true' then
            result := result || '{"missing_scope": true}';
            continue;
        elsif field = 'campaign' then
            if jsonb_typeof(value) <> 'string' or not exists (
                select from campaigns c where c.uid = value #>> '{}' and c.environment_id = environment) then
                perform refuse_campaign('selection.campaign', 'is no campaign of this environment',
                    'give an id: cmp_…');
            elsif exists (select from campaigns c where c.uid = value #>> '{}' and c.pruned_at is not null) then
                perform refuse_campaign('selection.campaign', 'is so old that its members are deleted',
                    'select by other fields');
            end if;
            result := result || jsonb_build_object('campaign', value);
            continue;
        end if;
        if jsonb_typeof(value) = 'string' then value := jsonb_build_array(value); end if;
        if jsonb_typeof(value) <> 'array' or jsonb_array_length(value) not between 1 and 1000
            or exists (select from jsonb_array_elements(value) e
                where jsonb_typeof(e) <> 'string' or length(e #>> '{}') not between 1 and 500) then
            perform refuse_campaign('selection.' || field, 'is not 1 to 1000 texts of 1 to 500 characters',
                'give one text, or a list');
        end if;
        value := (select jsonb_agg(distinct e) from jsonb_array_elements(value) e);
        for word in select e from jsonb_array_elements_text(value) e loop
            case field
            when 'state' then
                if word <> all(states) then
                    perform refuse_campaign('selection.state', format('has "%s"', left(word, 40)),
                        'states are ' || array_to_string(states, ', '), nearest_word(word, states));
                elsif word <> all(fits) then
                    perform refuse_campaign('selection.state', format('has "%s", where %s can do nothing', word,
                        wanted_action), format('%s works on %s', wanted_action, array_to_string(fits, ', ')));
                end if;
            when 'reason' then
                -- A later version may know more of them than this function.
                if word <> all(reasons) and not exists (select from connections k
                    where k.environment_id = environment and k.reason = word) then
                    perform refuse_campaign('selection.reason', format('has "%s"', left(word, 40)),
                        'reasons are ' || array_to_string(reasons, ', '), nearest_word(word, reasons));
                end if;
            when 'identity_type' then
                if word <> all(array['user', 'team', 'organization', 'project']) then
                    perform refuse_campaign('selection.identity_type', format('has "%s"', left(word, 40)),
                        'types are user, team, organization, project',
                        nearest_word(word, array['user', 'team', 'organization', 'project']));
                end if;
            when 'outcome' then
                if word <> all(array['succeeded', 'refused', 'trouble', 'skipped']) then
                    perform refuse_campaign('selection.outcome', format('has "%s"', left(word, 40)),
                        'outcomes are succeeded, refused, trouble, skipped',
                        nearest_word(word, array['succeeded', 'refused', 'trouble', 'skipped']));
                end if;
            when 'oauth_app' then
                if not exists (select from oauth_apps a where a.uid = word and a.environment_id = environment) then
                    perform refuse_campaign('selection.oauth_app', format('has "%s", which this environment does not '
                        'have', left(word, 40)), 'give an id: app_…, as the list of integrations shows it');
                end if;
            when 'integration' then
                if not exists (select from integrations i where i.environment_id = environment and i.integration = word)
                    and not exists (select from connections k
                        where k.environment_id = environment and k.integration = word) then
                    perform refuse_campaign('selection.integration', format('has "%s", of which this environment has '
                        'nothing', left(word, 40)), 'give an integration that is set up here',
                        nearest_word(word, array(select i.integration from integrations i
                            where i.environment_id = environment order by 1 limit 1000)));
                end if;
            when 'provider' then
                if not exists (select from oauth_apps a where a.environment_id = environment and a.provider = word)
                    and not exists (select from connections k
                        where k.environment_id = environment and k.provider = word) then
                    perform refuse_campaign('selection.provider', format('has "%s", of which this environment has '
                        'nothing', left(word, 40)), 'give the provider of an integration that is set up here',
                        nearest_word(word, array(select distinct a.provider from oauth_apps a
                            where a.environment_id = environment order by 1 limit 1000)));
                end if;
            else null;
            end case;
        end loop;
        result := result || jsonb_build_object(field, value);
    end loop;
    if result ? 'all' and result - array['all', 'state'] <> '{}' then
        perform refuse_campaign('selection.all', 'stands beside fields that narrow it', 'leave out all, or the others');
    elsif (result ? 'outcome') and not (result ? 'campaign') then
        perform refuse_campaign('selection.outcome', 'needs the campaign whose outcome it is', 'add campaign: cmp_…');
    elsif result ? 'campaign' and result ? 'identity' then
        perform refuse_campaign('selection.identity', 'does not go with campaign', 'leave out one of them');
    end if;
    -- Broken ones are tried again only when that is said in so many words.
    if not result ? 'state' then
        result := result || jsonb_build_object('state',
            case wanted_action when 'refresh' then to_jsonb(array['active', 'degraded', 'suspected'])
                else to_jsonb(fits) end);
    end if;
    return result;
end $$;

-- Whether a connection of the environment is selected. Small enough to be inlined.
create function campaign_matches(k connections, s jsonb, apps bigint[]) returns boolean language sql stable as $$
    select s -> 'state' ? k.state
        and (not s ? 'integration' or s -> 'integration' ? k.integration)
        and (not s ? 'provider' or s -> 'provider' ? k.provider)
        and (apps is null or k.oauth_app_id = any(apps))
        and (not s ? 'reason' or s -> 'reason' ? k.reason)
        and (not s ? 'identity' or s -> 'identity' ? k.identity)
        and (not s ? 'identity_type' or s -> 'identity_type' ? k.identity_type)
        and (not s ? 'tag' or s -> 'tag' ?| k.tags)
        and (not s ? 'missing_scope' or case when s -> 'missing_scope' = 'true' then k.missing_scopes <> '{}'
            else s -> 'missing_scope' ?| k.missing_scopes end)
        and (not s ? 'ends_before' or k.ends_at < (s ->> 'ends_before')::timestamptz)
$$;

create function campaign_apps(environment bigint, s jsonb) returns bigint[] language sql stable
set search_path = pg_catalog, evergrant, pg_temp as $$
    select case when s ? 'oauth_app' then array(
        select a.id from oauth_apps a where a.environment_id = environment and s -> 'oauth_app' ? a.uid) end
$$;

-- OAuth apps and webhook endpoints whose secrets a rewrap seals anew: all of them with `all`, else the OAuth apps that
-- the selection names, by id or by provider.
create function campaign_secrets(environment bigint, s jsonb, apps bigint[])
returns table (subject text, subject_id bigint) language sql stable
set search_path = pg_catalog, evergrant, pg_temp as $$
    select 'oauth_app', a.id from oauth_apps a
    where a.environment_id = environment and a.client_secret is not null
        and (s ? 'all' or s - array['state', 'oauth_app', 'provider'] = '{}'
            and (apps is null or a.id = any(apps)) and (not s ? 'provider' or s -> 'provider' ? a.provider)
            and (s ? 'oauth_app' or s ? 'provider'))
    union all
    select 'webhook_endpoint', w.id from webhook_endpoints w where w.environment_id = environment and s ? 'all'
$$;

-- Up to 5,000 ids of connections to look at, after `after`, and how far that went.
create function campaign_candidates(environment bigint, s jsonb, after bigint, until bigint, most int,
    out ids bigint[], out looked int, out reached bigint)
language plpgsql stable set search_path = pg_catalog, evergrant, pg_temp set enable_seqscan = off as $$
begin
    if s ? 'campaign' then
        select array_agg(x.subject_id) filter (where x.picked), count(*), max(x.place) into ids, looked, reached
        from (select m.subject_id, m.place,
                m.subject = 'connection' and (not s ? 'outcome' or s -> 'outcome' ? m.state) picked
            from campaign_members m join campaigns c on c.id = m.campaign_id
            where c.uid = s ->> 'campaign' and m.place > after order by m.place limit most) x;
    elsif s ? 'identity' then
        with found as materialized (
            select k.id from connections k where k.environment_id = environment
                and k.identity = any(array(select jsonb_array_elements_text(s -> 'identity'))))
        select array_agg(x.id), count(*), max(x.id) into ids, looked, reached
        from (select f.id from found f where f.id > after and f.id <= until order by f.id limit most) x;
    else
        select array_agg(x.id), count(*), max(x.id) into ids, looked, reached
        from (select k.id from connections k where k.environment_id = environment and k.id > after and k.id <= until
            order by k.id limit most) x;
    end if;
end $$;

-- What a campaign would work on, counted up to a million connections looked at.
create function campaign_preview(environment bigint, wanted_action text, given jsonb) returns jsonb
language plpgsql stable set search_path = pg_catalog, evergrant, pg_temp as $$
declare
    s jsonb := campaign_selection(environment, wanted_action, given);
    apps bigint[] := campaign_apps(environment, s);
    after bigint := 0;
    batch record;
    rounds int := 0;
    groups jsonb := '{}';
    identities jsonb := '{}';
    part record;
    people bigint;
begin
    loop
        select * into batch from campaign_candidates(environment, s, after, 9223372036854775807, 5000);
        for part in
            select k.integration || E'\t' || k.state name, count(*) n from connections k
            where k.id = any(batch.ids) and k.environment_id = environment and campaign_matches(k, s, apps) group by 1
        loop
            groups := groups || jsonb_build_object(part.name, coalesce((groups ->> part.name)::bigint, 0) + part.n);
        end loop;
        after := batch.reached;
        rounds := rounds + 1;
        exit when batch.looked < 5000 or rounds = 200;
    end loop;
    return jsonb_build_object('action', wanted_action, 'selection', s,
        'members', coalesce((select sum(e.value::bigint) from jsonb_each_text(groups) e), 0)
            + case when wanted_action = 'rewrap' then (select count(*) from campaign_secrets(environment, s, apps))
                else 0 end,
        'is_capped', batch.looked = 5000,
        'groups', coalesce((select jsonb_agg(jsonb_build_object('integration', split_part(e.key, E'\t', 1),
            'state', split_part(e.key, E'\t', 2), 'members', e.value::bigint) order by e.key)
            from jsonb_each_text(groups) e), '[]'),
        'secrets', case when wanted_action = 'rewrap'
            then (select count(*) from campaign_secrets(environment, s, apps)) end);
end $$;

-- == 3. Start, pause, resume, cancel ================================================================================

-- Makes the campaign, or returns the one that this key made before. It begins when the caller commits.
create function make_campaign(environment bigint, wanted_action text, given jsonb, wanted_rate text, wanted_key text,
    wanted_note text, actor text) returns campaigns
language plpgsql set search_path = pg_catalog, evergrant, pg_temp as $$
declare
    s jsonb := campaign_selection(environment, wanted_action, given);
    pace record;
    made campaigns;
begin
    select * into pace from campaign_rate(wanted_rate);
    if octet_length(wanted_key) not between 1 and 200 then
        perform refuse_campaign('key', 'has not 1 to 200 bytes', 'give a shorter one');
    elsif length(wanted_note) > 500 then
        perform refuse_campaign('note', 'has more than 500 characters', 'give a shorter one');
    end if;
    insert into campaigns (environment_id, action, selection, oauth_app_ids, key, note, created_by, rate_count,
        rate_seconds)
    values (environment, wanted_action, s, campaign_apps(environment, s), wanted_key, coalesce(wanted_note, ''), actor,
        pace.most, pace.seconds)
    on conflict (environment_id, key) do nothing returning * into made;
    if not found then
        select * into made from campaigns c where c.environment_id = environment and c.key = wanted_key;
        if made.action <> wanted_action or made.selection <> s
            or (made.rate_count, made.rate_seconds) is distinct from (pace.most, pace.seconds) then
            raise exception using errcode = 'EG110', constraint = 'key',
                message = format('key "%s" stands for another campaign, %s', left(wanted_key, 80), made.uid),
                hint = 'give a new key for a new campaign';
        end if;
        return made;
    end if;
    insert into audit (environment_id, actor, action, details)
    values (environment, actor, 'campaign.start', jsonb_build_object('campaign', made.uid, 'action', made.action,
        'selection', s, 'rate', wanted_rate));
    return made;
end $$;

-- What: pause, resume, cancel. A repeat changes nothing. Null without such a campaign; EG111 when it has ended.
create function change_campaign(environment bigint, wanted text, what text, actor text) returns campaigns
language plpgsql set search_path = pg_catalog, evergrant, pg_temp as $$
declare
    c campaigns;
begin
    select * into c from campaigns where uid = wanted and environment_id = environment for update;
    if not found then return null; end if;
    if c.state = 'finished' or c.state in ('cancelling', 'cancelled') and what <> 'cancel' then
        raise exception using errcode = 'EG111', constraint = 'campaign',
            message = format('campaign %s is %s', c.uid, c.state),
            hint = 'start another; {"campaign": "' || c.uid || '", "outcome": "trouble"} selects what did not succeed';
    end if;
    if what = 'pause' and c.paused_at is null then
        update campaigns set paused_at = now() where id = c.id returning * into c;
    elsif what = 'resume' and c.paused_at is not null then
        update campaigns set paused_at = null, credit = 1, credited_at = now() where id = c.id returning * into c;
    elsif what = 'cancel' and c.state in ('gathering', 'running') then
        update campaigns set state = 'cancelling', paused_at = null where id = c.id returning * into c;
    else
        return c;
    end if;
    insert into audit (environment_id, actor, action, details)
    values (environment, actor, 'campaign.' || what, jsonb_build_object('campaign', c.uid));
    return c;
end $$;

-- The campaign as API, command line and apps see it. Each member is in exactly one of the counts.
create function campaign_document(c campaigns) returns jsonb language sql stable
set search_path = pg_catalog, evergrant, pg_temp as $$
    with ended as (
        select coalesce(sum(t.count) filter (where t.outcome = 'succeeded'), 0) succeeded,
            coalesce(sum(t.count) filter (where t.outcome = 'refused'), 0) refused,
            coalesce(sum(t.count) filter (where t.outcome = 'trouble'), 0) trouble,
            coalesce(sum(t.count) filter (where t.outcome = 'skipped'), 0) skipped,
            coalesce(sum(t.count), 0) total
        from campaign_tallies t where t.campaign_id = c.id),
    working as (
        select count(*) n from campaign_members m where m.campaign_id = c.id and m.state = 'running')
    select jsonb_build_object('id', c.uid, 'action', c.action, 'selection', c.selection,
        'state', case when c.paused_at is not null then 'paused' else c.state end,
        'rate', c.rate_count || '/' || case c.rate_seconds when 1 then 'second' when 60 then 'minute' else 'hour' end,
        'note', c.note, 'key', c.key, 'created_by', c.created_by,
        'is_counted', c.started_at is not null, 'members', c.members, 'units', c.units,
        'outcomes', jsonb_build_object('queued', greatest(0, c.members - e.total - w.n), 'running', w.n,
            'succeeded', e.succeeded, 'refused', e.refused, 'trouble', e.trouble, 'skipped', e.skipped),
        'created_at', rfc3339(c.created_at), 'started_at', rfc3339(c.started_at), 'paused_at', rfc3339(c.paused_at),
        'ended_at', rfc3339(c.ended_at), 'members_deleted_at', rfc3339(c.pruned_at))
    from ended e, working w
$$;

-- == 4. Work ========================================================================================================

-- Gathers one batch of one campaign; false when none gathers. Two schedulers gather two campaigns.
create function gather_campaign(most int) returns boolean
language plpgsql set search_path = pg_catalog, evergrant, pg_temp as $$
declare
    c campaigns;
    batch record;
    n bigint;
    u bigint;
    grouped boolean;
begin
    select * into c from campaigns where state = 'gathering' and paused_at is null
    order by gathered_at nulls first, id limit 1 for update skip locked;
    if not found then return false; end if;
    if c.gather_end is null then
        c.gather_end := coalesce((select k.id from connections k where k.environment_id = c.environment_id
            order by k.environment_id desc, k.id desc limit 1), 0);
    end if;
    grouped := c.action = 'reconnect';
    select * into batch from campaign_candidates(c.environment_id, c.selection, c.gather_cursor, c.gather_end, most);
    with made as (
        insert into campaign_members (campaign_id, place, subject, subject_id, identity_type, identity, leads)
        select c.id, c.members + row_number() over (order by k.id), 'connection', k.id,
            case when grouped then k.identity_type end, case when grouped then k.identity end,
            not grouped or row_number() over (partition by k.identity_type, k.identity order by k.id) = 1
                and not exists (select from campaign_members e where e.campaign_id = c.id
                    and e.identity_type = k.identity_type and e.identity = k.identity)
        from connections k
        where k.id = any(batch.ids) and k.id <= c.gather_end and k.environment_id = c.environment_id
            and campaign_matches(k, c.selection, c.oauth_app_ids)
        returning leads)
    select count(*), count(*) filter (where leads) into n, u from made;
    c.members := c.members + n;
    c.units := c.units + u;
    if batch.looked < most then
        if c.action = 'rewrap' then
            insert into campaign_members (campaign_id, place, subject, subject_id)
            select c.id, c.members + row_number() over (order by x.subject, x.subject_id), x.subject, x.subject_id
            from campaign_secrets(c.environment_id, c.selection, c.oauth_app_ids) x;
            get diagnostics n = row_count;
            c.members := c.members + n;
            c.units := c.units + n;
        end if;
        c.state := 'running';
        c.started_at := clock_timestamp();
    end if;
    update campaigns set state = c.state, gather_end = c.gather_end, members = c.members, units = c.units,
        gather_cursor = coalesce(batch.reached, c.gather_cursor), gathered_at = clock_timestamp(),
        started_at = c.started_at, credited_at = clock_timestamp()
    where id = c.id;
    return true;
end $$;

-- Adds to a campaign's counts.
create function tally_campaign(campaign bigint, slot_of bigint, what text, n bigint) returns void language sql
set search_path = pg_catalog, evergrant, pg_temp as $$
    insert into campaign_tallies as t (campaign_id, slot, outcome, count)
    select campaign, (slot_of % 16)::smallint, what, n where n > 0
    on conflict (campaign_id, slot, outcome) do update set count = t.count + excluded.count
$$;

-- Admits members of campaigns that run: those whose jobs the caller enqueues in the same transaction. At most `window`
-- are admitted and not ended over all campaigns together; those with a rate take an even share at most, the others
-- share the rest evenly. A campaign that another scheduler looks at is left to it.
create function admit_campaigns(win int) returns table (campaign bigint, environment bigint, place bigint)
language plpgsql set search_path = pg_catalog, evergrant, pg_temp set enable_seqscan = off as $$
declare
    c campaigns;
    all_running int;
    free_running int;
    paced_in_flight int;
    flying int;
    room int;
    n int;
begin
    select count(*), count(*) filter (where r.rate_count is null) into all_running, free_running
    from campaigns r where r.state = 'running' and r.paused_at is null;
    if all_running = 0 then return; end if;
    select count(*) into paced_in_flight
    from campaigns r, unnest(array['admitted', 'running']) s(state), lateral (
        select from campaign_members m where m.campaign_id = r.id and m.state = s.state) m
    where r.state = 'running' and r.paused_at is null and r.rate_count is not null;
    for c in
        select * from campaigns r where r.state = 'running' and r.paused_at is null
        order by r.id for update skip locked
    loop
        select count(*) into flying from unnest(array['admitted', 'running']) s(state), lateral (
            select from campaign_members m where m.campaign_id = c.id and m.state = s.state) m;
        if c.rate_count is null then
            room := greatest(1, (win - paced_in_flight) / free_running) - flying;
        else
            c.credit := least(greatest(1, c.rate_count::float8 / c.rate_seconds),
                c.credit + greatest(0, extract(epoch from clock_timestamp() - c.credited_at))
                    * c.rate_count / c.rate_seconds);
            room := least(greatest(1, win / all_running) - flying, floor(c.credit));
        end if;
        n := 0;
        if room > 0 then
            return query
                with next as (
                    select m.place from campaign_members m
                    where m.campaign_id = c.id and m.state = 'queued' and m.leads
                    order by m.place limit room for update skip locked)
                update campaign_members m set state = 'admitted', admitted_at = clock_timestamp()
                from next where m.campaign_id = c.id and m.place = next.place
                returning c.id, c.environment_id, m.place;
            get diagnostics n = row_count;
        end if;
        if c.rate_count is not null then
            update campaigns set credit = c.credit - n, credited_at = clock_timestamp() where id = c.id;
        end if;
        if n = 0 and flying = 0 and not exists (
            select from campaign_members m where m.campaign_id = c.id and m.state = 'queued') then
            update campaigns set state = 'finished', ended_at = clock_timestamp() where id = c.id;
        end if;
    end loop;
end $$;

-- Ends what is cancelled, and puts back members whose job has given no sign for `lease_seconds`: a job that an operator
-- deleted, or whose worker died with it too often. One that was lost while running three times is trouble.
-- Returns how many members it changed.
create function tend_campaigns(most int, lease_seconds float8) returns int
language plpgsql set search_path = pg_catalog, evergrant, pg_temp set enable_seqscan = off as $$
declare
    c campaigns;
    n int;
    total int := 0;
    working boolean;
    gone record;
begin
    for c in select * from campaigns r where r.state = 'cancelling' order by r.id limit 10 for update skip locked loop
        working := exists (select from campaign_members m where m.campaign_id = c.id and m.state = 'running');
        -- The others of an identity go with its leader while that one is at work.
        with next as (
            select m.place from campaign_members m
            where m.campaign_id = c.id and m.state in ('queued', 'admitted') and (m.leads or not working)
            limit most for update)
        update campaign_members m set state = 'skipped', detail = 'cancelled', ended_at = clock_timestamp()
        from next where m.campaign_id = c.id and m.place = next.place;
        get diagnostics n = row_count;
        perform tally_campaign(c.id, 0, 'skipped', n);
        total := total + n;
        if n = 0 and not working then
            update campaigns set state = 'cancelled', ended_at = clock_timestamp() where id = c.id;
        end if;
    end loop;
    for gone in
        select m.campaign_id, m.place, m.state, m.losses
        from campaigns r, unnest(array['admitted', 'running']) s(state), lateral (
            select * from campaign_members m where m.campaign_id = r.id and m.state = s.state
                and m.admitted_at < clock_timestamp() - make_interval(secs => lease_seconds)
            limit most for update skip locked) m
        where r.state in ('running', 'cancelling')
    loop
        total := total + 1;
        if gone.state = 'running' and gone.losses >= 2 then
            perform end_campaign_member(gone.campaign_id, gone.place, 'trouble', 'job_lost');
        else
            update campaign_members m set state = 'queued', admitted_at = null,
                losses = m.losses + (m.state = 'running')::int
            where m.campaign_id = gone.campaign_id and m.place = gone.place;
        end if;
    end loop;
    return total;
end $$;

-- The job of a member begins. No row: there is nothing to do, or not now. verdict: go; gone, changed: skip it.
create function begin_campaign_member(campaign bigint, wanted bigint)
returns table (uid text, action text, environment bigint, subject text, subject_id bigint, generation bigint,
    reopens boolean, verdict text)
language plpgsql set search_path = pg_catalog, evergrant, pg_temp set enable_seqscan = off as $$
declare
    c campaigns;
    m campaign_members;
    k connections;
begin
    select * into m from campaign_members x where x.campaign_id = campaign and x.place = wanted
        and x.state in ('admitted', 'running') for update;
    if not found then return; end if;
    select * into c from campaigns x where x.id = campaign;
    if c.state <> 'running' or c.paused_at is not null then
        update campaign_members x set state = 'queued', admitted_at = null
        where x.campaign_id = campaign and x.place = wanted;
        return;
    end if;
    verdict := 'go';
    if m.subject = 'connection' then
        select * into k from connections x where x.id = m.subject_id and x.environment_id = c.environment_id;
        if not found then verdict := 'gone';
        elsif m.generation is null and c.action <> 'reconnect'
            and not campaign_matches(k, c.selection, c.oauth_app_ids) then verdict := 'changed';
        end if;
    end if;
    update campaign_members x set state = 'running', admitted_at = clock_timestamp(),
        generation = coalesce(x.generation, k.generation)
    where x.campaign_id = campaign and x.place = wanted;
    uid := c.uid;
    action := c.action;
    environment := c.environment_id;
    subject := m.subject;
    subject_id := m.subject_id;
    generation := coalesce(m.generation, k.generation);
    reopens := c.selection -> 'state' ? 'broken';
    return next;
end $$;

-- Writes the outcome of a member that runs, and counts it; a second time it does nothing. Returns how many it ended.
create function end_campaign_member(campaign bigint, wanted bigint, outcome text, why text) returns int
language plpgsql set search_path = pg_catalog, evergrant, pg_temp set enable_seqscan = off as $$
declare
    n int;
    lead campaign_members;
begin
    update campaign_members m set state = outcome, detail = left(why, 200), ended_at = clock_timestamp()
    where m.campaign_id = campaign and m.place = wanted and m.state = 'running' returning * into lead;
    if not found then return 0; end if;
    n := 1;
    if lead.identity is not null then  -- the others of its identity go with it
        update campaign_members m set state = outcome, detail = left(why, 200), ended_at = clock_timestamp()
        where m.campaign_id = campaign and m.identity_type = lead.identity_type and m.identity = lead.identity
            and m.state = 'queued' and not m.leads;
        get diagnostics n = row_count;
        n := n + 1;
    end if;
    perform tally_campaign(campaign, wanted, outcome, n);
    return n;
end $$;

-- One more look at an attempt of somebody else; how many there were.
create function wait_campaign_member(campaign bigint, wanted bigint) returns int language sql
set search_path = pg_catalog, evergrant, pg_temp as $$
    update campaign_members m set waits = m.waits + 1, admitted_at = clock_timestamp()
    where m.campaign_id = campaign and m.place = wanted and m.state = 'running' returning m.waits
$$;

-- Asks one identity to reconnect: one event, with those of its members that are still selected. The event has no link:
-- a link is a capability, and events are stored and read by many. Returns how many members were told of, and skipped.
create function tell_reconnect(campaign bigint, wanted bigint, out told int, out skipped int)
language plpgsql set search_path = pg_catalog, evergrant, pg_temp set enable_seqscan = off as $$
declare
    c campaigns;
    lead campaign_members;
    listed jsonb;
begin
    told := 0;
    skipped := 0;
    select * into lead from campaign_members m where m.campaign_id = campaign and m.place = wanted
        and m.state = 'running' for update;
    if not found then return; end if;
    select * into c from campaigns x where x.id = campaign;
    with ended as (
        update campaign_members m set ended_at = clock_timestamp(),
            state = case when k.id is null then 'skipped' else 'succeeded' end,
            detail = case when k.id is null then 'no_longer_selected' else 'told' end
        from campaign_members o left join connections k on k.id = o.subject_id
            and k.environment_id = c.environment_id and campaign_matches(k, c.selection, c.oauth_app_ids)
        where o.campaign_id = campaign and o.identity_type = lead.identity_type and o.identity = lead.identity
            and (o.place = wanted or o.state = 'queued') and m.campaign_id = o.campaign_id and m.place = o.place
        returning k.id, m.place, jsonb_build_object('id', 'conn_' || replace(k.uid::text, '-', ''),
            'key', connection_key(k), 'integration', k.integration, 'state', k.state, 'reason', k.reason,
            'missing_scopes', to_jsonb(k.missing_scopes)) shown)
    select count(e.id), count(*) - count(e.id),
        -- A thousand fit any webhook; the count says when there are more.
        jsonb_agg(e.shown order by e.place) filter (where e.id is not null)
    into told, skipped, listed from ended e;
    if told > 0 then
        insert into events (environment_id, type, payload)
        values (c.environment_id, 'connection.reconnect_requested', jsonb_build_object(
            'identity', lead.identity, 'identity_type', lead.identity_type, 'campaign', c.uid, 'note', c.note,
            'connection_count', told,
            'connections', (select jsonb_agg(x.e order by x.n)
                from jsonb_array_elements(listed) with ordinality x(e, n) where x.n <= 1000)));
    end if;
    perform tally_campaign(campaign, wanted, 'succeeded', told);
    perform tally_campaign(campaign, wanted, 'skipped', skipped);
end $$;

-- Deletes members of campaigns that ended so long ago; their counts stay. Returns how many.
create function prune_campaigns(keep_seconds float8, most int) returns int
language plpgsql set search_path = pg_catalog, evergrant, pg_temp set enable_seqscan = off as $$
declare
    c campaigns;
    n int;
begin
    select * into c from campaigns r
    where r.ended_at < now() - make_interval(secs => keep_seconds) and r.pruned_at is null
    order by r.ended_at limit 1 for update skip locked;
    if not found then return 0; end if;
    delete from campaign_members m where m.campaign_id = c.id and m.place in (
        select x.place from campaign_members x where x.campaign_id = c.id order by x.place limit most);
    get diagnostics n = row_count;
    if n < most then update campaigns set pruned_at = now() where id = c.id; end if;
    return n;
end $$;

-- == 5. For apps ====================================================================================================

-- The right to start campaigns is a kind for each action, `campaign.refresh` and its like: whoever may refresh one
-- connection may not therefore revoke all.
create function app_campaign_environment(wanted text, wanted_action text) returns bigint
language plpgsql stable set search_path = pg_catalog, evergrant, pg_temp as $$
declare
    home record;
begin
    select * into home from app_environment(wanted);
    if not exists (select from app_rights() r join job_kinds k on k.id = any(r.kinds)
        where r.environment_id = home.id and k.name = 'campaign.' || wanted_action) then
        raise exception using errcode = 'EG103',
            message = format('role "%s" may not start %s campaigns in environment "%s"', session_user,
                left(wanted_action, 40), home.name),
            hint = format('An operator allows it: evergrant apps allow --role %s --environment %s --kind %s',
                app_word(session_user), app_word(home.name), app_word('campaign.' || wanted_action));
    end if;
    return home.id;
end $$;

create function start_campaign(action text, selection jsonb, rate text default null, key text default null,
    note text default null, environment text default null) returns text
language plpgsql security definer set search_path = pg_catalog, evergrant, pg_temp set jit = off as $$
declare
    home bigint;
begin
    if action is null or action not in ('refresh', 'validate', 'revoke', 'reconnect', 'rewrap') then
        perform refuse_campaign('action', format('is "%s"', left(action, 40)),
            'give one of refresh, validate, revoke, reconnect, rewrap',
            nearest_word(action, array['refresh', 'validate', 'revoke', 'reconnect', 'rewrap']));
    end if;
    home := app_campaign_environment($6, $1);
    -- Whether a broken connection is tried again is not the app's to say.
    if $1 = 'refresh' and jsonb_typeof($2) = 'object'
        and ($2 -> 'state' = '"broken"' or $2 -> 'state' @> '["broken"]') then
        perform refuse_campaign('selection.state', 'has "broken"',
            'an operator may try broken connections again: evergrant campaigns start refresh --state broken');
    end if;
    return (make_campaign(home, $1, $2, $3, $4, $5, 'role:' || session_user)).uid;
end $$;
comment on function start_campaign is 'app: starts a campaign in the caller''s transaction and returns its id (cmp_…). '
    'With key, starting it again returns the same id.';

create function campaign(id text) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, evergrant, pg_temp set jit = off as $$
begin
    if not exists (select from app_rights()) then perform app_environment(null); end if;
    return (select campaign_document(c) from campaigns c where c.uid = $1 and exists (
        select from app_rights() r join job_kinds k on k.id = any(r.kinds)
        where r.environment_id = c.environment_id and k.name = 'campaign.' || c.action));
end $$;
comment on function campaign is 'app: the campaign with its progress by outcome; null when there is none that the role '
    'may start.';

create function control_campaign(id text, what text) returns text
language plpgsql security definer set search_path = pg_catalog, evergrant, pg_temp set jit = off as $$
declare
    c campaigns;
begin
    if what is null or what not in ('pause', 'resume', 'cancel') then
        perform refuse_campaign('what', format('is "%s"', left(what, 40)), 'give one of pause, resume, cancel',
            nearest_word(what, array['pause', 'resume', 'cancel']));
    end if;
    if evergrant.campaign($1) is null then return 'unknown'; end if;
    select * into c from campaigns x where x.uid = $1;
    c := change_campaign(c.environment_id, c.uid, what, 'role:' || session_user);
    return case when c.paused_at is not null then 'paused' else c.state end;
end $$;
comment on function control_campaign is 'app: what is pause, resume or cancel; the state after it. unknown: as for '
    'campaign.';

-- As 0006 has it, and no jobs of campaigns: their kinds are the right to start campaigns, and nothing to enqueue.
create or replace function app_args(environment bigint, kind text, args jsonb) returns jsonb language plpgsql stable as $$
declare
    given text;
    row_id bigint;
    newest bigint;
begin
    if kind like 'campaign.%' then
        raise exception using errcode = 'EG106', message = format('kind "%s" is not enqueued by hand', left(kind, 80)),
            hint = 'Start a campaign: select evergrant.start_campaign(''refresh'', ''{"integration": "gmail"}'')';
    elsif kind like 'connection.%' then
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

revoke all on table campaigns, campaign_members, campaign_tallies from public;
revoke all on all functions in schema evergrant from public;
