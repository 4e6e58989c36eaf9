-- Watching the runners after they were handed out.

ALTER TABLE runners
    -- Complete passes in a row that did not list it.
    ADD COLUMN missed smallint NOT NULL DEFAULT 0,
    -- Since when it is offline, while it is.
    ADD COLUMN offline_since timestamptz,
    -- What deviation was told last; one event per deviation, not one per pass.
    ADD COLUMN drift_seen text;
UPDATE runners SET offline_since = updated_at WHERE status = 'offline';

-- Every change of a runner's status, by whom it was noticed.
CREATE TABLE runner_events (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    runner_id   uuid NOT NULL REFERENCES runners,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    from_status text,
    to_status   text NOT NULL,
    source      text NOT NULL CHECK (source IN ('sync', 'webhook', 'refresh', 'api', 'job')),
    detail      text
);
CREATE INDEX runner_events_runner ON runner_events (runner_id, id DESC);

-- The unused and the stale are found by these.
CREATE INDEX runners_pending ON runners (registered_at) WHERE status = 'pending';
CREATE INDEX runners_offline ON runners (offline_since) WHERE status = 'offline';

-- Who does what only one should do. A lease, not a lock: it ends by itself.
CREATE TABLE scheduler_leases (
    name       text PRIMARY KEY,
    holder     text NOT NULL,
    term       bigint NOT NULL,
    renewed_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);

-- How the last comparison with GitHub went, and what admins asked of the next.
CREATE TABLE sync_status (
    installation       text PRIMARY KEY REFERENCES installations,
    interval_seconds   integer,
    attempted_at       timestamptz,
    triggered_at       timestamptz,
    last_sync_time     timestamptz,
    last_sync_result   text CHECK (last_sync_result IN ('ok', 'held', 'incomplete', 'paused', 'failed')),
    last_sync_error    text,
    counts             jsonb,
    removals_held      integer NOT NULL DEFAULT 0,
    removals_confirmed boolean NOT NULL DEFAULT false
);

-- Runners on GitHub that are not ours, as of the last complete pass. Only ever shown.
CREATE TABLE unmanaged_runners (
    id               uuid PRIMARY KEY,
    installation     text NOT NULL REFERENCES installations,
    github_runner_id bigint NOT NULL,
    name             text NOT NULL,
    online           boolean NOT NULL,
    busy             boolean NOT NULL,
    labels           text[] NOT NULL,
    first_seen_at    timestamptz NOT NULL DEFAULT now(),
    last_seen_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT unmanaged_runners_key UNIQUE (installation, github_runner_id)
);
