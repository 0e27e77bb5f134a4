-- Connect sessions, authorization requests in flight, and remembered answers of idempotent calls.

-- Connect sessions -----------------------------------------------------------------------------------------------
-- The right to link one account to one identity once.
--   minted -> opened -> authorizing -> exchanging -> finished
-- `exchanging` is claimed by compare-and-set before a code is redeemed, with a nonce and a deadline; a failed exchange
-- goes back to `opened`, a claim whose deadline has passed may be taken over. An expired session keeps its state:
-- expires_at alone decides.

create table evergrant.connect_sessions (
    id bigint generated always as identity primary key,
    uid text not null unique default 'cs_' || replace(gen_random_uuid()::text, '-', ''),
    environment_id bigint not null references evergrant.environments,
    kind text not null constraint connect_session_kind_is_known check (kind in ('link', 'embedded')),
    token_hash bytea not null unique,             -- SHA-256 of 256 random bits
    identity_type text not null constraint connect_session_identity_type_is_known
        check (identity_type in ('user', 'team', 'organization', 'project')),
    identity text not null,
    integrations text[],                          -- null: all that the environment enables
    connection_id bigint references evergrant.connections on delete cascade,   -- to reconnect
    allow_other_account boolean not null default false,
    name text not null default '',
    tags text[] not null default '{}',
    metadata jsonb not null default '{}',
    redirect_url text,
    require_finish boolean not null,
    state text not null default 'minted' constraint connect_session_state_is_known
        check (state in ('minted', 'opened', 'authorizing', 'exchanging', 'finished')),
    browsers bytea[] not null default '{}',       -- hashes of the cookies of browsers that traded the token
    claim_nonce uuid,
    claim_deadline timestamptz,
    finished_browser bytea,                       -- the one that consented: it alone gets the finish code
    finished_connection_id bigint references evergrant.connections on delete set null,
    finish_hash bytea,                            -- SHA-256 of the one-time finish code
    finish_expires_at timestamptz,
    confirmed_at timestamptz,                     -- when the app called finish, or at once where none is required
    -- A reconnect that waits for its finish keeps the new grant here, so that nothing of the old one is touched before.
    held_grant bytea,                             -- sealed: purpose connect_session.grant, row uid, generation 1
    held_facts jsonb,
    created_by text not null,
    created_at timestamptz not null default now(),
    opened_at timestamptz,
    finished_at timestamptz,
    expires_at timestamptz not null,
    constraint a_claim_has_a_deadline check ((claim_nonce is null) = (claim_deadline is null)),
    constraint a_claim_is_an_exchange check ((state = 'exchanging') = (claim_nonce is not null))
) with (fillfactor = 80);
create index connect_sessions_by_end on evergrant.connect_sessions (expires_at);
create index connect_sessions_of_connection on evergrant.connect_sessions (connection_id) where connection_id is not null;
create index connect_sessions_finished on evergrant.connect_sessions (finished_connection_id)
    where finished_connection_id is not null;

-- One row a departure to a provider. Spent by DELETE … RETURNING at the callback, whatever comes of it.
create table evergrant.authorization_requests (
    id bigint generated always as identity primary key,
    state_hash bytea not null unique,             -- SHA-256 of 256 random bits
    session_id bigint not null references evergrant.connect_sessions on delete cascade,
    environment_id bigint not null references evergrant.environments,
    integration text not null,
    oauth_app_id bigint not null references evergrant.oauth_apps,
    redirect_uri text not null,
    browser_hash bytea not null,
    scopes text[] not null,
    parameters jsonb not null default '{}',       -- what the user typed, checked
    sealed bytea not null,                        -- PKCE verifier and nonce: purpose authorization_request.secrets, row = state hash in hex
    created_at timestamptz not null default now(),
    expires_at timestamptz not null
);
create index authorization_requests_by_end on evergrant.authorization_requests (expires_at);
create index authorization_requests_of_session on evergrant.authorization_requests (session_id);

-- Idempotency keys -----------------------------------------------------------------------------------------------

create table evergrant.idempotency_keys (
    environment_id bigint not null references evergrant.environments,
    key text not null,
    request_hash bytea not null,                  -- method, path and body: another request under the same key is refused
    status int,                                   -- null while the first call is at work
    answer bytea,                                 -- sealed: purpose idempotency.answer, row = key; null when it held a secret
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    primary key (environment_id, key)
);
create index idempotency_keys_by_end on evergrant.idempotency_keys (expires_at);
