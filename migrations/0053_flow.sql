-- Flow: how many jobs were accepted, started and ended in each minute. The leading scheduler fills it from the jobs, once
-- a minute is over; no request writes it.

CREATE TABLE flow (
    -- Rows of minutes become rows of hours after 48 h.
    span         text NOT NULL CHECK (span IN ('minute', 'hour')),
    at           timestamptz NOT NULL,
    installation text NOT NULL,
    kind         text NOT NULL,
    accepted     bigint NOT NULL,
    started      bigint NOT NULL,
    succeeded    bigint NOT NULL,
    failed       bigint NOT NULL,
    expired      bigint NOT NULL,
    cancelled    bigint NOT NULL,
    -- Histograms: time from acceptance to the first start, of those that started; time from the newest start to the end,
    -- of those that succeeded or failed.
    wait         bigint[] NOT NULL,
    run          bigint[] NOT NULL,
    PRIMARY KEY (span, at, installation, kind)
);

-- The 50 busiest teams of each minute.
CREATE TABLE flow_teams (
    span      text NOT NULL CHECK (span IN ('minute', 'hour')),
    at        timestamptz NOT NULL,
    team_id   uuid NOT NULL,
    accepted  bigint NOT NULL,
    started   bigint NOT NULL,
    succeeded bigint NOT NULL,
    failed    bigint NOT NULL,
    expired   bigint NOT NULL,
    cancelled bigint NOT NULL,
    PRIMARY KEY (span, at, team_id)
);

-- All minutes before this time are in the tables.
CREATE TABLE flow_progress (
    id           boolean PRIMARY KEY DEFAULT true CHECK (id),
    closed_until timestamptz NOT NULL
);
INSERT INTO flow_progress (closed_until) VALUES (date_trunc('minute', now()));

-- Counts the values 0 to size - 1.
CREATE FUNCTION flow_histogram(found integer[], size integer) RETURNS bigint[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT array_agg((SELECT count(*) FROM unnest(found) AS v WHERE v = n) ORDER BY n) FROM generate_series(0, size - 1) AS n
$$;
