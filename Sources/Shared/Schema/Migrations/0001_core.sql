-- Everything but the queue: environments and their keys, OAuth apps, connections and their credentials, events and
-- webhooks, audit. All names are written out as evergrant.…: behind a transaction pooler no search_path can be relied on.

-- Environments ---------------------------------------------------------------------------------------------------

create table evergrant.environments (
    id bigint generated always as identity primary key,
    uid text not null unique default 'env_' || replace(gen_random_uuid()::text, '-', ''),
    name text not null unique constraint environment_name_is_a_slug check (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    mode text not null constraint environment_mode_is_known check (mode in ('test', 'live')),
    app_name text not null default '',
    -- Origins (scheme://host[:port]) that may embed the connect window, and that users may be sent back to.
    embedding_origins text[] not null default '{}',
    redirect_origins text[] not null default '{}',
    require_finish boolean,                       -- null: links yes, embedded no
    branding jsonb not null default '{}',
    created_at timestamptz not null default now()
);

create table evergrant.api_keys (
    id bigint generated always as identity primary key,
    uid text not null unique default 'key_' || replace(gen_random_uuid()::text, '-', ''),
    environment_id bigint not null references evergrant.environments,
    name text not null default '',
    role text not null constraint api_key_role_is_known
        check (role in ('full', 'connect', 'read', 'enqueue', 'operate')),
    hash bytea not null unique,                   -- SHA-256 of the whole key; the key is 256 random bits
    prefix text not null,                         -- what may be shown: eg_test_…, and the last four characters
    last_four text not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    revoked_at timestamptz
);
create index api_keys_of_environment on evergrant.api_keys (environment_id);

-- Keys that seal -------------------------------------------------------------------------------------------------

create table evergrant.data_keys (
    id uuid primary key,
    environment_id bigint not null references evergrant.environments,
    kek_id text not null,
    wrapped bytea not null,
    seals bigint not null default 0,
    created_at timestamptz not null default now()
);
create index data_keys_newest on evergrant.data_keys (environment_id, created_at desc);
create index data_keys_of_kek on evergrant.data_keys (kek_id);

-- Integrations and OAuth apps ------------------------------------------------------------------------------------

create table evergrant.oauth_apps (
    id bigint generated always as identity primary key,
    uid text not null unique default 'app_' || replace(gen_random_uuid()::text, '-', ''),
    environment_id bigint not null references evergrant.environments,
    provider text not null,
    client_id text not null,
    client_secret bytea,                          -- sealed: purpose oauth_app.client_secret, row uid, generation = secret_version
    secret_version bigint not null default 1,
    parameters jsonb not null default '{}',       -- pinned URL parameters (operator_host) and overrides of replay facts
    suspended_at timestamptz,                     -- quarantine: the provider refuses the app itself
    suspended_reason text,
    probe_due_at timestamptz,                     -- while suspended: when one attempt may find out again
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create index oauth_apps_of_environment on evergrant.oauth_apps (environment_id, provider);

create table evergrant.integrations (
    environment_id bigint not null references evergrant.environments,
    integration text not null,                    -- the catalog's id
    enabled boolean not null default true,
    oauth_app_id bigint references evergrant.oauth_apps,
    scopes text[],                                -- null: the catalog's
    settings jsonb not null default '{}',         -- title, guide, order: what the operator changed
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (environment_id, integration)
);

-- Connections ----------------------------------------------------------------------------------------------------

create table evergrant.connections (
    id bigint generated always as identity primary key,
    uid uuid not null unique default gen_random_uuid(),         -- in ids (conn_<hex>) and in the connection key
    environment_id bigint not null references evergrant.environments,
    mode text not null,
    integration text not null,
    provider text not null,
    oauth_app_id bigint references evergrant.oauth_apps,        -- null for API keys
    identity_type text not null constraint connection_identity_type_is_known
        check (identity_type in ('user', 'team', 'organization', 'project')),
    identity text not null,
    name text not null default '',
    tags text[] not null default '{}',
    metadata jsonb not null default '{}',
    parameters jsonb not null default '{}',                     -- URL parameters as typed and checked
    account_id text,
    account_label text,

    state text not null constraint connection_state_is_known
        check (state in ('pending', 'active', 'degraded', 'suspected', 'broken', 'revoking', 'revoked')),
    reason text,
    since timestamptz not null default now(),
    version bigint not null default 1,                          -- counts transitions; kept by the trigger below

    grant_id uuid not null,                                     -- new at each code exchange
    generation bigint not null default 1,                       -- counts the token sets; never goes back
    ambiguous_generation bigint,                                -- this generation was sent in an attempt whose answer is unknown …
    ambiguous_since timestamptz,                                -- … which began here (its window counts from then)

    attempt_nonce uuid,                                         -- the mark: one attempt in flight over the whole fleet
    attempt_kind text,
    attempt_owner text,
    attempt_started_at timestamptz,
    attempt_deadline timestamptz,
    attempt_tries int not null default 0,                       -- tries since the ambiguity began

    failures int not null default 0,                            -- in a row; paces the backoff, breaks nothing
    next_attempt_at timestamptz,
    retest_at timestamptz,                                      -- suspected: when it is tested again
    access_issued_at timestamptz,
    access_expires_at timestamptz,
    refresh_due_at timestamptz,                                 -- null: nothing to do ahead of time
    validate_due_at timestamptz,
    ends_at timestamptz,                                        -- of the grant, when known: refreshing cannot move it
    granted_scopes text[],
    missing_scopes text[] not null default '{}',
    last_refreshed_at timestamptz,
    last_validated_at timestamptz,
    last_used_at timestamptz,
    revocation jsonb,                                           -- proof: status, time, tries, or why the call was skipped
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint an_attempt_has_its_times
        check (attempt_nonce is null or (attempt_started_at is not null and attempt_deadline is not null and attempt_kind is not null))
) with (fillfactor = 70);
create index connections_of_identity on evergrant.connections (environment_id, identity, identity_type);
create index connections_of_environment on evergrant.connections (environment_id, id);
create index connections_of_account on evergrant.connections (oauth_app_id, account_id) where account_id is not null;
create index connections_refresh_due on evergrant.connections (refresh_due_at)
    where state in ('active', 'degraded', 'suspected') and refresh_due_at is not null;
create index connections_validate_due on evergrant.connections (validate_due_at)
    where state in ('active', 'degraded', 'suspected') and validate_due_at is not null;
create index connections_revoke_due on evergrant.connections (next_attempt_at) where state = 'revoking';
create index connections_open_attempts on evergrant.connections (attempt_deadline) where attempt_nonce is not null;

-- One row a connection while it holds a secret. Sealed with purpose connection.tokens, row = uid, generation.
create table evergrant.credentials (
    connection_id bigint primary key references evergrant.connections on delete cascade,
    grant_id uuid not null,
    generation bigint not null,
    sealed bytea not null,
    issued_at timestamptz not null,
    previous_sealed bytea,                                      -- kept until the new one has worked
    previous_generation bigint,
    previous_issued_at timestamptz,
    proven boolean not null default false                       -- the token set of `generation` has itself worked
) with (fillfactor = 70);

-- Answers that lost their compare-and-set; each lives until it has been presented.
create table evergrant.alternates (
    id bigint generated always as identity primary key,
    connection_id bigint not null references evergrant.connections on delete cascade,
    grant_id uuid not null,
    answers_generation bigint not null,                         -- what was presented to get it
    nonce uuid not null unique,                                 -- of its attempt: a replayed journal adds it once
    sealed bytea not null,                                      -- purpose connection.alternate, row = uid, generation = answers_generation
    issued_at timestamptz not null,
    presented_at timestamptz,
    created_at timestamptz not null default now()
);
create index alternates_of_connection on evergrant.alternates (connection_id, issued_at desc);

-- Events and webhooks --------------------------------------------------------------------------------------------

create table evergrant.events (
    id bigint generated always as identity primary key,
    uid text not null unique default 'evt_' || replace(gen_random_uuid()::text, '-', ''),  -- the webhook-id, for ever
    environment_id bigint not null references evergrant.environments,
    type text not null,
    connection_id bigint,
    connection_version bigint,
    payload jsonb not null,
    created_at timestamptz not null default now(),
    position bigint,                                            -- gapless per environment; given after commit by the sequencer
    constraint one_event_a_transition unique (connection_id, connection_version)
);
create unique index events_feed on evergrant.events (environment_id, position) where position is not null;
create index events_to_sequence on evergrant.events (id) where position is null;
create index events_of_connection on evergrant.events (connection_id, id);

create table evergrant.feed_heads (
    environment_id bigint primary key references evergrant.environments,
    position bigint not null
);

create table evergrant.webhook_endpoints (
    id bigint generated always as identity primary key,
    uid text not null unique default 'ep_' || replace(gen_random_uuid()::text, '-', ''),
    environment_id bigint not null references evergrant.environments,
    name text not null,
    url text not null,
    types text[],                                               -- null: the default ones
    secret bytea not null,                                      -- sealed: purpose webhook.secret, row uid, generation = secret_version
    secret_version bigint not null default 1,
    previous_secret bytea,                                      -- still signs until previous_until; generation = secret_version - 1
    previous_until timestamptz,
    disabled_at timestamptz,
    disabled_reason text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint one_endpoint_a_name unique (environment_id, name)
);

create table evergrant.deliveries (
    id bigint generated always as identity primary key,
    uid text not null unique default 'dlv_' || replace(gen_random_uuid()::text, '-', ''),
    environment_id bigint not null references evergrant.environments,
    event_id bigint not null references evergrant.events,
    endpoint_id bigint not null references evergrant.webhook_endpoints on delete cascade,
    state text not null default 'pending' constraint delivery_state_is_known
        check (state in ('pending', 'delivered', 'failed')),
    attempts int not null default 0,
    next_attempt_at timestamptz,
    last_status int,
    last_error text,
    log jsonb not null default '[]',                            -- every try: at, status, ms, error
    created_at timestamptz not null default now(),
    delivered_at timestamptz,
    constraint one_delivery_an_event_and_endpoint unique (event_id, endpoint_id)
);
create index deliveries_of_endpoint on evergrant.deliveries (endpoint_id, id);
create index deliveries_waiting on evergrant.deliveries (next_attempt_at) where state = 'pending';

-- Audit ----------------------------------------------------------------------------------------------------------

create table evergrant.audit (
    id bigint generated always as identity primary key,
    environment_id bigint not null,
    at timestamptz not null default now(),
    actor text not null,                                        -- worker:<id>, key:<uid>, session:<uid>, cli
    action text not null,                                       -- refresh, revoke, validate, passthrough, …
    connection_id bigint,
    count bigint not null default 1,
    details jsonb
);
create index audit_of_connection on evergrant.audit (connection_id, id);
create index audit_by_time on evergrant.audit using brin (at);

-- A transition is one event --------------------------------------------------------------------------------------
-- Kept by triggers that fire only when the state changes, so that no statement, of whatever version, can change a
-- state without its event or write an event without its change. An update that leaves the state alone pays one
-- comparison.

create function evergrant.connection_key(c evergrant.connections) returns text language sql immutable as $$
    select c.mode || '::' || c.integration || '::default::' || replace(c.uid::text, '-', '') || '|'
        || translate(c.identity, ' :', '--')
$$;

create function evergrant.rfc3339(t timestamptz) returns text language sql immutable as $$
    select to_char(t at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
$$;

-- What the API and the events show of a connection: everything but secrets.
create function evergrant.connection_document(c evergrant.connections) returns jsonb language sql stable as $$
    select jsonb_build_object(
        'id', 'conn_' || replace(c.uid::text, '-', ''),
        'key', evergrant.connection_key(c),
        'environment', c.mode,
        'integration', c.integration,
        'identity', c.identity,
        'identity_type', c.identity_type,
        'name', c.name,
        'tags', to_jsonb(c.tags),
        'metadata', c.metadata,
        'account', case when c.account_id is null and c.account_label is null then null
            else jsonb_build_object('id', c.account_id, 'label', c.account_label) end,
        'state', c.state,
        'reason', c.reason,
        'since', evergrant.rfc3339(c.since),
        'version', c.version,
        'next_attempt_at', evergrant.rfc3339(c.next_attempt_at),
        'access_expires_at', evergrant.rfc3339(c.access_expires_at),
        'ends_at', evergrant.rfc3339(c.ends_at),
        'granted_scopes', to_jsonb(c.granted_scopes),
        'missing_scopes', to_jsonb(c.missing_scopes),
        'last_refreshed_at', evergrant.rfc3339(c.last_refreshed_at),
        'last_validated_at', evergrant.rfc3339(c.last_validated_at),
        'created_at', evergrant.rfc3339(c.created_at))
$$;

create function evergrant.transition_type(before text, after text) returns text language sql immutable as $$
    select case
        when after = 'active' then case
            when before is null or before = 'pending' then 'connection.created'
            when before = 'broken' then 'connection.recovered'
            else 'connection.restored' end
        when after = 'degraded' then 'connection.degraded'
        when after = 'suspected' then 'connection.suspected'
        when after = 'broken' then 'connection.broken'
        when after = 'revoking' then 'connection.deleted'
        when after = 'revoked' then 'connection.revoked'
        when after = 'pending' then 'connection.pending' end
$$;

create function evergrant.count_transition() returns trigger language plpgsql as $$
begin
    new.version := old.version + 1;
    new.since := now();
    new.updated_at := now();
    return new;
end $$;

create function evergrant.tell_transition() returns trigger language plpgsql as $$
declare before text;
begin
    if tg_op = 'UPDATE' then before := old.state; end if;
    insert into evergrant.events (environment_id, type, connection_id, connection_version, payload)
    values (new.environment_id, evergrant.transition_type(before, new.state), new.id, new.version,
        jsonb_build_object('connection', evergrant.connection_document(new), 'previous_state', before));
    return null;
end $$;

create trigger a_transition_is_counted before update on evergrant.connections
    for each row when (old.state is distinct from new.state) execute function evergrant.count_transition();
create trigger a_transition_is_told after update on evergrant.connections
    for each row when (old.state is distinct from new.state) execute function evergrant.tell_transition();
create trigger a_beginning_is_told after insert on evergrant.connections
    for each row execute function evergrant.tell_transition();
