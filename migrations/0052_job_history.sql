-- The history of each job, and GitHub's id of each call.

-- The newest start of a job. The row of a job says all about its acceptance, its newest start and its end; a row of
-- job_events keeps what the next start would overwrite. So a job that runs once writes none.
ALTER TABLE jobs ADD COLUMN run_started_at timestamptz;

-- Starts that ended without a result.
CREATE TABLE job_events (
    job_id     uuid NOT NULL REFERENCES jobs,
    -- Fence of the start, modulo 64: the newest 64 are kept.
    slot       smallint NOT NULL CHECK (slot BETWEEN 0 AND 63),
    fence      bigint NOT NULL,
    worker     text,
    started_at timestamptz,
    at         timestamptz NOT NULL DEFAULT now(),
    what       text NOT NULL CHECK (what IN ('snoozed', 'retried', 'released', 'rescued', 'restarted')),
    detail     text CHECK (length(detail) <= 300),
    -- When the job may start again.
    next_at    timestamptz,
    PRIMARY KEY (job_id, slot)
);

ALTER TABLE github_calls ADD COLUMN github_request_id text CHECK (length(github_request_id) <= 100);
