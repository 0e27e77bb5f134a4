-- How often each integration is probed, which scopes a grant ought to have, and signals of providers about ended grants.

set local search_path = evergrant, pg_temp;

alter table integrations
    -- Seconds between two probes of a connection; 0: none; null: the catalog's, else the installation's.
    add column validate_seconds bigint constraint validation_is_not_hasty
        check (validate_seconds is null or validate_seconds = 0 or validate_seconds >= 60);

alter table oauth_apps
    add column signing_secret bytea,            -- of inbound signals; sealed: purpose oauth_app.signing_secret, row uid
    add column signing_secret_version bigint not null default 0;

alter table connections
    add column granted_at timestamptz,          -- of the present grant; kept by the trigger below
    add column wanted_scopes text[],            -- asked for, or once granted; missing_scopes is what of them is not granted
    add column uninstalled_at timestamptz,      -- a signal said that the app was uninstalled then, after this grant was made
    add column validation_asked_at timestamptz; -- a refused call asked for a probe: at most one a while

-- Scopes, the grant's date and the first probe, whoever writes the row: code exchange, refresh, probe, import, and the
-- version before this one. A refresh that names no scopes, or the same, does not come here.
create function keep_grant_facts() returns trigger language plpgsql
set search_path = pg_catalog, evergrant, pg_temp as $$
declare
    seconds bigint;
begin
    if tg_op = 'INSERT' or new.grant_id is distinct from old.grant_id then
        new.granted_at := coalesce(new.access_issued_at, clock_timestamp());
        new.uninstalled_at := null;
        new.wanted_scopes := array(
            select distinct s from unnest(new.granted_scopes || new.missing_scopes) s order by s);
        select i.validate_seconds into seconds from integrations i
        where i.environment_id = new.environment_id and i.integration = new.integration;
        if seconds = 0 then
            new.validate_due_at := null;
        elsif seconds > 0 then
            new.validate_due_at := clock_timestamp() + make_interval(secs => seconds * (0.5 + random() / 2));
        end if;
    elsif new.granted_scopes is not null then
        -- What was granted and is granted no more is missed, too.
        if new.wanted_scopes is null then
            new.wanted_scopes := array(
                select distinct s from unnest(old.granted_scopes || old.missing_scopes) s order by s);
        end if;
        new.missing_scopes := array(
            select s from unnest(new.wanted_scopes) s where s <> all(new.granted_scopes) order by s);
    end if;
    return new;
end $$;

create trigger connections_of_a_new_grant before insert on connections
    for each row execute function keep_grant_facts();
create trigger connections_of_other_scopes before update on connections
    for each row when (new.grant_id is distinct from old.grant_id
        or new.granted_scopes is distinct from old.granted_scopes)
    execute function keep_grant_facts();

-- Signals seen, so that a repeat does nothing. Kept for as long as a copy could still pass for fresh.
create table inbound_signals (
    oauth_app_id bigint not null references oauth_apps on delete cascade,
    digest bytea not null,                      -- SHA-256 of the body
    expires_at timestamptz not null,
    primary key (oauth_app_id, digest)
);
create index inbound_signals_expired on inbound_signals (expires_at);

revoke all on function keep_grant_facts() from public;

revoke all on all functions in schema evergrant from public;
