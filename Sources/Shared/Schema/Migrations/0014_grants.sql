-- Moving grants in and out, two client secrets of one OAuth app, and erasure of what belongs to an identity.

-- Two secrets of one client --------------------------------------------------------------------------------------
-- While a provider honours two secrets, so do we. `other_secret` is the one beside `client_secret`: `next` until it is
-- promoted, `previous` from then on until it is retired. `working_version` is the one that a provider took last, so that
-- it is tried first. The previous version of Evergrant reads none of these columns and goes on with `client_secret`.

alter table evergrant.oauth_apps
    add column other_secret bytea,                -- sealed: purpose oauth_app.client_secret, row uid, generation = other_version
    add column other_version bigint,
    add column other_role text constraint other_secret_role_is_known check (other_role in ('next', 'previous')),
    add column working_version bigint,            -- null: none has been refused in favour of the other
    add column newest_version bigint not null default 1,   -- versions are never used twice
    add constraint an_other_secret_is_whole
        check ((other_secret is null) = (other_version is null) and (other_secret is null) = (other_role is null));

update evergrant.oauth_apps set newest_version = secret_version where secret_version > 1;

-- Imports --------------------------------------------------------------------------------------------------------
--   receiving -> refused            a row was bad, and bad rows were not to be skipped: nothing was stored
--             -> checked            dry run
--             -> importing -> done  rows become connections in batches, by whoever comes; a kill loses nothing
--             -> abandoned          the upload never ended; its rows are gone
-- Rows are sealed as they arrive, for the connection they will be: an upload lies nowhere in the clear.

create table evergrant.imports (
    id bigint generated always as identity primary key,
    uid text not null unique default 'imp_' || replace(gen_random_uuid()::text, '-', ''),
    environment_id bigint not null references evergrant.environments,
    state text not null default 'receiving' constraint import_state_is_known
        check (state in ('receiving', 'refused', 'checked', 'importing', 'done', 'abandoned')),
    format text not null constraint import_format_is_known check (format in ('ndjson', 'csv')),
    content_hash bytea,                           -- SHA-256 of the whole file: known at its end, or named at its beginning
    options jsonb not null,                       -- dry_run, skip_bad_rows, refresh, rate, verify
    created_by text not null,
    next_line bigint not null default 1,          -- everything before it is in import_rows, or was refused
    total_rows bigint not null default 0,
    rejected_rows bigint not null default 0,
    imported_rows bigint not null default 0,
    existing_rows bigint not null default 0,
    receiver uuid,                                -- the upload that may write: a later one takes over
    created_at timestamptz not null default now(),
    touched_at timestamptz not null default now(),
    started_at timestamptz,                       -- when rows began to become connections: pacing counts from it
    finished_at timestamptz
);
create index imports_of_environment on evergrant.imports (environment_id, id desc);
create index imports_by_hash on evergrant.imports (environment_id, content_hash) where content_hash is not null;
create index imports_at_work on evergrant.imports (id) where state in ('receiving', 'importing');

create table evergrant.import_rows (
    import_id bigint not null references evergrant.imports on delete cascade,
    line bigint not null,                         -- in the file, from 1; of a record of several lines the first
    outcome text constraint import_row_outcome_is_known
        check (outcome in ('rejected', 'imported', 'existing')),  -- null: waits
    external_id text,
    uid uuid,                                     -- of the connection it will be
    facts jsonb,                                  -- all but secrets; null once the row has its outcome
    sealed bytea,                                 -- purpose connection.tokens, row = uid, generation 1; null like facts
    fingerprint bytea,                            -- of a refresh token that must not come in twice: keyed by the import
    account_key text,                             -- integration, identity and account: one connection each
    faults jsonb,                                 -- of a rejected row: column, problem, repair
    connection_id bigint references evergrant.connections on delete set null,
    primary key (import_id, line)
);
create index import_rows_waiting on evergrant.import_rows (import_id, line) where outcome is null;
create index import_rows_of_external_id on evergrant.import_rows (import_id, external_id) where external_id is not null;
create index import_rows_of_fingerprint on evergrant.import_rows (import_id, fingerprint) where fingerprint is not null;
create index import_rows_of_account on evergrant.import_rows (import_id, account_key) where account_key is not null;
create index import_rows_of_connection on evergrant.import_rows (connection_id) where connection_id is not null;

-- The id that another system has for a connection. A table of its own: `connections` is large and hot.
create table evergrant.external_ids (
    environment_id bigint not null references evergrant.environments,
    external_id text not null,
    connection_id bigint not null references evergrant.connections on delete cascade,
    primary key (environment_id, external_id)
);
create index external_ids_of_connection on evergrant.external_ids (connection_id);

-- Erasures -------------------------------------------------------------------------------------------------------
-- What was asked to be erased, until it is: then only how many rows it were remains.

create table evergrant.erasures (
    id bigint generated always as identity primary key,
    uid text not null unique default 'era_' || replace(gen_random_uuid()::text, '-', ''),
    environment_id bigint not null references evergrant.environments,
    identity_type text,                           -- null once erased
    identity text,                                -- null once erased
    connections bigint[] not null,
    requested_by text not null,
    requested_at timestamptz not null default now(),
    erased_at timestamptz,
    constraint an_erasure_forgets_whom check ((erased_at is null) = (identity is not null))
);
create index erasures_waiting on evergrant.erasures (id) where erased_at is null;
create index erasures_of_environment on evergrant.erasures (environment_id, id desc);

-- Stray grants ---------------------------------------------------------------------------------------------------
-- Grants that a user gave and nothing came of: of another account than the one to reconnect, or of a reconnect that was
-- never finished. Revoked at the provider as soon as it confirms, where that spares living grants; then gone. Whose they
-- are stands in `sealed` only.

create table evergrant.stray_grants (
    id bigint generated always as identity primary key,
    uid text not null unique default 'sg_' || replace(gen_random_uuid()::text, '-', ''),
    environment_id bigint not null references evergrant.environments,
    oauth_app_id bigint not null references evergrant.oauth_apps,
    integration text not null,
    reason text not null,
    sealed bytea not null,                        -- purpose stray_grant, row uid: token set and account
    tries int not null default 0,
    next_attempt_at timestamptz not null default now(),
    created_at timestamptz not null default now()
);
create index stray_grants_due on evergrant.stray_grants (next_attempt_at);
