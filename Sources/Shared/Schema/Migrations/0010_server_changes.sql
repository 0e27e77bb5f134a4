-- After a failover to a standby that lacks the last commits, or with a database restored from a backup, rows hold refresh
-- tokens that have been spent since. Every statement that begins an attempt or believes a refusal therefore asks whether
-- the server is the one that this installation knows; if not, everything that rotates is held until every escrow journal
-- has given back what it has.

create table evergrant.server_watch (
    only_one boolean primary key default true constraint there_is_one_server check (only_one),
    system_identifier text not null,              -- of pg_control_system(): another after initdb or a restored dump
    timeline text not null,                       -- eight hexadecimal digits: another after a promotion or a recovery
    epoch bigint not null default 1,              -- counts the changes of server
    beat timestamptz not null,                    -- moves on about once a second; one that went back lost commits
    held_since timestamptz,                       -- null: the server is trusted
    held_because text constraint hold_reason_is_known check (held_because in ('failover', 'restored')),
    lost_since timestamptz,                       -- the beat found at the change: what was committed after it may be gone
    released_at timestamptz
) with (fillfactor = 50);

-- Every escrow journal that may hold answers. A row goes with its journal's files.
create table evergrant.escrow_journals (
    incarnation uuid primary key,
    owner text not null,
    registered_at timestamptz not null default clock_timestamp(),
    seen_at timestamptz not null default clock_timestamp(),
    drained_epoch bigint not null default 0,      -- of the change of server whose replay it reported …
    drained_round int not null default 0,         -- … and how often: answers of one journal may wait for another's
    reported_at timestamptz
) with (fillfactor = 50);

-- pg_control_checkpoint() lags behind a promotion; the name of the WAL file does not.
create function evergrant.server_timeline() returns text language sql volatile as $$
    select left(pg_walfile_name(pg_current_wal_lsn()), 8)
$$;

-- Whether nothing may be presented that rotates, and no refusal believed. `known`: the newest beat that the asking
-- process has seen; null when it has seen none.
create function evergrant.server_is_held(known timestamptz) returns boolean language sql volatile as $$
    select coalesce((select w.held_since is not null or w.beat < known
            or w.timeline <> left(pg_walfile_name(pg_current_wal_lsn()), 8)
        from evergrant.server_watch w), false)
$$;

-- One look of one process: notices a change, keeps the beat and the journal's row going.
-- `retention`: how long journals keep their lines; a gap beyond it cannot be made good by them.
create function evergrant.watch_server(known timestamptz, retention interval, journal uuid, journal_owner text)
returns table (o_epoch bigint, o_beat timestamptz, o_held_since timestamptz, o_because text, o_noticed boolean,
    o_drained int, o_all_once boolean)
language plpgsql set search_path = pg_catalog, evergrant, pg_temp as $$
declare
    w server_watch;
    system text := (select system_identifier::text from pg_control_system());
    changed boolean := false;
begin
    select * into w from server_watch;
    if not found then
        insert into server_watch (system_identifier, timeline, beat)
        values (system, server_timeline(), greatest(clock_timestamp(), known)) on conflict do nothing;
        select * into w from server_watch;
    end if;
    if w.system_identifier <> system or w.timeline <> server_timeline() or w.beat < known then
        select * into w from server_watch for update;
        changed := w.system_identifier <> system or w.timeline <> server_timeline() or w.beat < known;
    end if;
    if changed then
        update server_watch s set system_identifier = system, timeline = server_timeline(), epoch = s.epoch + 1,
            held_since = clock_timestamp(), lost_since = least(s.beat, case when s.held_since is not null then s.lost_since end),
            held_because = case when s.held_because = 'restored' and s.held_since is not null
                or known - s.beat > retention then 'restored' else 'failover' end,
            beat = greatest(clock_timestamp(), known)
        returning * into w;
    elsif w.beat < clock_timestamp() - interval '1 s' then
        update server_watch s set beat = clock_timestamp()
        where s.beat < clock_timestamp() - interval '1 s' and s.epoch = w.epoch returning * into w;
        if not found then select * into w from server_watch; end if;
    end if;
    if journal is not null then
        insert into escrow_journals as j (incarnation, owner) values (journal, journal_owner)
        on conflict (incarnation) do update set seen_at = clock_timestamp()
            where j.seen_at < clock_timestamp() - interval '5 s';
    end if;
    return query select w.epoch, w.beat, w.held_since, w.held_because, changed,
        coalesce((select case when j.drained_epoch = w.epoch then j.drained_round else 0 end
            from escrow_journals j where j.incarnation = journal), 2),
        not exists (select 1 from escrow_journals j
            where (j.drained_epoch < w.epoch or j.drained_round < 1) and j.seen_at > clock_timestamp() - retention);
end $$;

-- Ends the hold of a failover when every journal has been replayed twice and what was under way has had its time. A
-- journal that stays silent is waited for, and then named.
create function evergrant.release_server(attempt interval, patience interval)
returns table (o_released boolean, o_silent text[])
language plpgsql set search_path = pg_catalog, evergrant, pg_temp as $$
declare
    w server_watch;
    silent text[];
begin
    select * into w from server_watch where held_since is not null and held_because = 'failover' for update;
    if not found then return; end if;
    silent := array(select j.owner || ' (' || j.incarnation || ')' from escrow_journals j
        where j.drained_epoch < w.epoch or j.drained_round < 2 order by 1);
    if cardinality(silent) > 0 and w.held_since > clock_timestamp() - patience then return; end if;
    if greatest(w.held_since, (select max(reported_at) from escrow_journals where drained_epoch = w.epoch))
        > clock_timestamp() - attempt then return; end if;
    update server_watch set held_since = null, held_because = null, released_at = clock_timestamp();
    delete from escrow_journals j where j.seen_at < clock_timestamp() - interval '1 day';
    return query select true, silent;
end $$;

revoke all on all functions in schema evergrant from public;
