-- What the feed, replays of webhooks and the audit's chain need.

-- The feed begins after this position: what was before has been pruned.
alter table evergrant.feed_heads add column pruned bigint not null default 0;

alter table evergrant.deliveries
    -- Tries of the rounds before this one: a delivery that is sent again begins anew with its backoff.
    add column attempts_before int not null default 0,
    add column replayed_at timestamptz;
create index deliveries_pending on evergrant.deliveries (endpoint_id, id) where state = 'pending';
create index deliveries_delivered on evergrant.deliveries (endpoint_id, delivered_at) where state = 'delivered';

-- At most so many tries to one endpoint at a time, so that one that hangs leaves workers to the others. An operator
-- may change or remove the limit.
select evergrant.set_limit('webhook:' || uid, 8, null, null) from evergrant.webhook_endpoints;

-- Audit ----------------------------------------------------------------------------------------------------------
-- Rows are sealed in the order of (xid, id), never beyond the oldest transaction that still runs, so that no commit
-- comes in behind a seal. 0: from before this migration, hence decided.
alter table evergrant.audit add column xid bigint not null default 0;
alter table evergrant.audit alter column xid set default (pg_current_xact_id()::text::bigint);
-- Building it blocks writes of audit lines; of a million rows for about a second.
create index audit_in_order on evergrant.audit (environment_id, xid, id);
-- The order serves lists and retention as well.
drop index evergrant.audit_by_time;

-- How far each environment's chain has come.
create table evergrant.audit_heads (
    environment_id bigint primary key references evergrant.environments,
    number bigint not null default 0,                           -- of the last seal; 0: none
    hash bytea not null default decode(repeat('00', 32), 'hex'),
    sealed_xid bigint not null default 0,                       -- everything up to here is sealed …
    sealed_id bigint not null default 0,
    newest_id bigint not null default 0,                        -- the greatest id that is sealed
    -- Transaction ids are those of one server. On another one (a dump that was restored) an era begins: its rows have
    -- ids above the floor.
    floor_id bigint not null default 0,
    server bigint,                                              -- system identifier of the era's server
    sealed_at timestamptz,
    pruned_number bigint not null default 0,                    -- checkpoint: seals up to here are gone, with their rows
    pruned_hash bytea not null default decode(repeat('00', 32), 'hex'),
    pruned_at timestamptz
);

create table evergrant.audit_seals (
    environment_id bigint not null references evergrant.environments,
    number bigint not null,
    previous bytea not null,                                    -- hash of the seal before
    hash bytea not null,                                        -- over all other columns; docs/audit.md
    floor_id bigint not null,                                   -- of its era
    from_xid bigint not null,                                   -- covers what is after this …
    from_id bigint not null,
    to_xid bigint not null,                                     -- … up to this
    to_id bigint not null,
    newest_id bigint not null,                                  -- the greatest id that was sealed before it
    -- Covers all that its era left up to id to_id, in order of id: what is after from_*, or has an id above newest_id.
    ends_era boolean not null,
    count int not null,
    rows bytea not null,                                        -- of each row: id (8 bytes, big-endian), SHA-256 (32)
    sealed_at timestamptz not null,
    primary key (environment_id, number)
);

insert into evergrant.audit_heads (environment_id) select id from evergrant.environments on conflict do nothing;

create function evergrant.begin_audit() returns trigger language plpgsql as $$
begin
    insert into evergrant.audit_heads (environment_id) values (new.id) on conflict do nothing;
    return null;
end $$;

create trigger an_environment_has_an_audit after insert on evergrant.environments
    for each row execute function evergrant.begin_audit();

-- A refresh that succeeds writes its row with the commit, a revocation with its proof. Attempts that end otherwise, or
-- whose mark another takes over, have used the secret too: written here, in the transaction that ends them.
create function evergrant.audit_attempt() returns trigger language plpgsql as $$
begin
    insert into evergrant.audit (environment_id, actor, action, connection_id, details)
    values (new.environment_id, coalesce(old.attempt_owner, 'unknown'), old.attempt_kind, new.id,
        jsonb_strip_nulls(jsonb_build_object(
            'outcome', case when new.attempt_nonce is null then 'failed' else 'taken_over' end,
            'state', new.state, 'reason', new.reason)));
    return null;
end $$;

create trigger an_attempt_that_failed_is_audited after update on evergrant.connections
    for each row when (old.attempt_nonce is not null and old.attempt_nonce is distinct from new.attempt_nonce
        and old.generation = new.generation and old.grant_id = new.grant_id and new.state <> 'revoked')
    execute function evergrant.audit_attempt();

revoke all on all functions in schema evergrant from public;
