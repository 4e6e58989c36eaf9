-- Last success of each periodic step, for people. A step is late when a few of its periods have passed.

CREATE TABLE scheduler_steps (
    step           text PRIMARY KEY CHECK (length(step) BETWEEN 1 AND 40),
    period_seconds integer NOT NULL CHECK (period_seconds > 0),
    -- Only the leading scheduler runs it.
    led            boolean NOT NULL,
    -- The scheduler that wrote the row last.
    scheduler      text NOT NULL,
    succeeded_at   timestamptz,
    failed_at      timestamptz
);
