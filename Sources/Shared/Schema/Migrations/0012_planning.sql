-- Planning: what is most urgent, tiers, warnings ahead of an end, and rates per grant.
--
-- New columns are null in rows of before, so the two partial indexes on them are built empty; the third has only rows
-- whose last attempt is unanswered. Each build reads the table once and holds off writes meanwhile: about a second for a
-- million connections. A process of the version before leaves the columns alone: its connections are hot, and rank by
-- their due time, until the next refresh by this one.

set local search_path = evergrant, pg_temp;

alter table connections
    add column lost_at timestamptz,             -- the grant is lost then unless it is refreshed before; null: unknown, or never
    add column ahead_at timestamptz,            -- not used lately: when the refresh would be due if it were used
    add column warn_due_at timestamptz,         -- the next warning ahead of ends_at
    add column warned_end timestamptz,          -- the end that was last warned of
    add column grant_starts float8,             -- sends that the grant's own limit allowed at grant_starts_at
    add column grant_starts_at timestamptz;

-- Closing windows, then the nearest loss, then the due time: see `claim_due_refreshes`. refresh_due_at stands in the second
-- index so that what is near its end and not due is passed over without a look at the row.
create index connections_closing_due on connections (refresh_due_at)
    where state in ('active', 'degraded', 'suspected') and ambiguous_generation is not null and refresh_due_at is not null;
-- The states are excluded rather than named: so the planner cannot take the index on refresh_due_at for the query that
-- needs this one, which it would prefer while little is due, and which would read all that is due when everything is.
create index connections_lost on connections (lost_at, refresh_due_at)
    where state not in ('pending', 'broken', 'revoking', 'revoked') and lost_at is not null and refresh_due_at is not null;
create index connections_warn_due on connections (warn_due_at)
    where state in ('active', 'degraded', 'suspected') and warn_due_at is not null;

-- A start outside the queue under limits that jobs obey as well: takes one from each key, or from none. Seconds until there
-- may be room; null when it was taken. A key without a limit limits nothing. A concurrency is not held by such a start,
-- only looked at: it has no lease that could give it back. Locks: limits by key, to the end of the transaction.
create function take_starts(keys text[]) returns float8 language plpgsql
set search_path = pg_catalog, evergrant, pg_temp as $$
declare
    wait float8;
begin
    perform 1 from limits l where l.key = any(keys) order by l.key for update;
    select max(coalesce(wait_of(l), 1)) into wait from limits l where l.key = any(keys) and room(l) <= 0;
    if wait is not null then return greatest(wait, 0.001); end if;
    update limits l set tokens = tokens_now(l) - 1, refilled_at = clock_timestamp()
    where l.key = any(keys) and l.rate is not null;
    return null;
end $$;

-- As take_starts for the limit of one grant, which stands on its connection: a million grants need no million limits. Only
-- for whoever has the mark.
create function take_grant_start(connection bigint, nonce uuid, per_second float8, at_once int) returns float8
language plpgsql set search_path = pg_catalog, evergrant, pg_temp as $$
declare
    there float8;
begin
    select least(at_once, coalesce(c.grant_starts, at_once)
            + greatest(0, extract(epoch from clock_timestamp() - c.grant_starts_at)::float8) * per_second)
    into there from connections c where c.id = connection and c.attempt_nonce = nonce for update;
    there := coalesce(there, at_once);
    if there < 1 - 1e-9 then return greatest((1 - there) / per_second, 0.001); end if;
    update connections c set grant_starts = there - 1, grant_starts_at = clock_timestamp()
    where c.id = connection and c.attempt_nonce = nonce;
    return null;
end $$;

revoke all on all functions in schema evergrant from public;
