-- What the fleet knows of each token endpoint of an OAuth app: breaker, quarantine, wave. A row is made by the first
-- trouble; endpoints that never had any have none, and a refresh that succeeds writes nothing here.

create table evergrant.token_hosts (
    oauth_app_id bigint not null references evergrant.oauth_apps on delete cascade,
    -- host[:port], with the tenant behind it where the path names one; '': all endpoints of an app whose connections
    -- have hosts or tenants of their own.
    host text not null,
    -- Whether trouble here is trouble of the whole app.
    whole boolean not null,
    -- What decisions rest on: counts of the last window, evidence, times. Written by one statement under the row's
    -- lock; its form is HostHealth's, which reads what earlier versions wrote.
    state jsonb not null default '{}',
    -- When a process has to look after this row again; null: at rest.
    tend_at timestamptz,
    -- For people and queries; what they say stands in `state` too.
    breaker text not null default 'closed'
        constraint breaker_is_known check (breaker in ('closed', 'open', 'half_open')),
    breaker_since timestamptz,
    blocked_until timestamptz,
    quarantined_at timestamptz,
    wave_since timestamptz,
    wave_until timestamptz,
    next_probe_at timestamptz,
    last_trouble text,
    last_trouble_at timestamptz,
    updated_at timestamptz not null default now(),
    primary key (oauth_app_id, host)
) with (fillfactor = 70);
create index token_hosts_to_tend on evergrant.token_hosts (tend_at) where tend_at is not null;

-- Refused connections whose verdict waits because many were refused at once. `since` bounds the wait, over any number
-- of waves.
create table evergrant.held_verdicts (
    connection_id bigint primary key references evergrant.connections on delete cascade,
    grant_id uuid not null,
    oauth_app_id bigint not null,
    host text not null,
    since timestamptz not null default now(),
    tried_at timestamptz,                         -- last tested while held
    released_at timestamptz,                      -- its next refusal counts
    foreign key (oauth_app_id, host) references evergrant.token_hosts on delete cascade
);
create index held_verdicts_of_host on evergrant.held_verdicts (oauth_app_id, host, tried_at nulls first)
    where released_at is null;

-- Answers that no rule of the catalog knows: one row a shape, the newest few of each endpoint. Redacted before they
-- come here.
create table evergrant.unclassified_answers (
    oauth_app_id bigint not null references evergrant.oauth_apps on delete cascade,
    host text not null,
    shape text not null,                          -- status, code, and the words without their numbers
    status int not null,
    code text,
    sample text,
    request_id text,                              -- the provider's own, for its support
    seen bigint not null default 1,
    first_at timestamptz not null default now(),
    last_at timestamptz not null default now(),
    primary key (oauth_app_id, host, shape)
);

-- Connections that wait for their provider or their OAuth app, so that they can be made due when it is over.
create index connections_in_trouble on evergrant.connections (oauth_app_id, id)
    where state in ('degraded', 'suspected');

-- Apps that are suspended already: looked after from now on like any other.
insert into evergrant.token_hosts (oauth_app_id, host, whole, state, tend_at, quarantined_at, last_trouble, last_trouble_at)
select id, '', true,
    jsonb_build_object('quarantinedAt', extract(epoch from suspended_at) - 978307200, 'faultReason', suspended_reason),
    now(), suspended_at, suspended_reason, suspended_at
from evergrant.oauth_apps where suspended_at is not null;
