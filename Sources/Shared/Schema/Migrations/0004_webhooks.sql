-- What delivery of webhooks needs beyond 0001: an end of patience for each delivery, a mark on endpoints that gave up
-- on something, and a feed head for every environment from its beginning.

alter table evergrant.deliveries
    add column deliver_until timestamptz not null default now() + interval '3 days';

-- Set when a delivery was given up; the next success clears it and tells breaks again that still stand.
alter table evergrant.webhook_endpoints add column failing_since timestamptz;

insert into evergrant.feed_heads (environment_id, position)
select id, 0 from evergrant.environments on conflict do nothing;

create function evergrant.begin_feed() returns trigger language plpgsql as $$
begin
    insert into evergrant.feed_heads (environment_id, position) values (new.id, 0) on conflict do nothing;
    return null;
end $$;

create trigger an_environment_has_a_feed after insert on evergrant.environments
    for each row execute function evergrant.begin_feed();
