-- The connect window inside an app's own page: what a session in a frame needs to know, and how an environment looks.

-- Token endpoints (whole URLs) that a window opened by a public AuthKit package may ask for its list.
alter table evergrant.environments add column token_endpoints text[] not null default '{}';

alter table evergrant.connect_sessions
    -- The app, or its environment, has said that no finish is needed. Without that a session that leaves its frame needs one.
    add column waives_finish boolean not null default false,
    -- How often a browser has left for a provider; the failure below belongs to the newest departure.
    add column departures integer not null default 0,
    -- {"code", "integration", "hint", "departure"} of the last attempt, for the frame that waits for it; null: none.
    add column failure jsonb,
    -- The origin whose page holds the frame, as that page's message named it.
    add column parent_origin text;

-- Raster images that the operator supplies: the app's own (integration = ''), and integrations'.
create table evergrant.logos (
    environment_id bigint not null references evergrant.environments,
    integration text not null,
    media_type text not null constraint logo_is_a_raster check (media_type in ('image/png', 'image/jpeg', 'image/webp')),
    digest bytea not null,                        -- SHA-256: names the file under which browsers cache it
    bytes bytea not null constraint logo_is_small check (octet_length(bytes) <= 131072),
    updated_at timestamptz not null default now(),
    primary key (environment_id, integration)
);
