-- Periodic jobs without a leader.
--
-- A tick is a time that a schedule's rule names. Any number of schedulers look for schedules that are due; one takes the
-- row (FOR UPDATE SKIP LOCKED), and in the same transaction writes the ticks, enqueues their jobs and moves `next_at` on.
-- Whatever crashes, either all of that is there or none. Beside the lock two things keep a tick from being enqueued
-- twice, whatever a scheduler's clock or version: the primary key of schedule_ticks, and `last_at`, behind which no tick
-- is ever taken.
--
-- Lock order: schedules come before job rows; nothing that holds a job row takes a schedule.

create table evergrant.schedules (
    id bigint generated always as identity primary key,
    environment_id bigint not null,
    name text not null constraint schedules_name_is_a_slug check (name ~ '^[a-z0-9][a-z0-9._-]{0,99}$'),
    -- the job
    queue int not null,
    kind int not null,
    args jsonb not null,
    priority smallint not null default 2,
    limit_key text,
    max_attempts smallint not null default 25 constraint schedules_attempts check (max_attempts >= 1),
    -- the rule: each `every_ms` from `anchor_at` on, or five fields of crontab(5) in an IANA time zone
    every_ms bigint constraint schedules_every check (every_ms > 0),
    cron text,
    time_zone text not null default 'UTC',
    anchor_at timestamptz not null,
    starts_at timestamptz,
    ends_at timestamptz,
    missed text not null default 'once' constraint schedules_missed check (missed in ('once', 'all', 'skip')),
    overlap text not null default 'allow' constraint schedules_overlap check (overlap in ('allow', 'skip')),
    -- how far it is
    paused boolean not null default false,
    next_at timestamptz,        -- the tick to come; null: paused, or no more
    last_at timestamptz,        -- the latest tick that was enqueued
    last_job_id bigint,         -- of the latest run, also one by hand
    fault text,                 -- why the rule or the job could not be used; tried again after held_until
    held_until timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint schedules_environment_name unique (environment_id, name),
    constraint schedules_rule check ((every_ms is null) <> (cron is null)),
    constraint schedules_span check (ends_at > starts_at)
) with (fillfactor = 50, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0.02);
create index schedules_due on evergrant.schedules (next_at) where next_at is not null;

-- Ticks that got a job, and runs by hand. Pruned by age: `last_at` keeps pruned ones from coming again.
create table evergrant.schedule_ticks (
    schedule_id bigint references evergrant.schedules on delete cascade,
    tick timestamptz,
    job_id bigint,
    manual boolean not null default false,
    enqueued_at timestamptz not null default now(),
    primary key (schedule_id, tick)
) with (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.05);
create index schedule_ticks_age on evergrant.schedule_ticks (enqueued_at);
