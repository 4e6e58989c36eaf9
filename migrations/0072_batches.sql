-- Changes of many people, teams or runners at once. Each item is one call of the operation for a single one.

CREATE TABLE batches (
    id uuid PRIMARY KEY,
    action text NOT NULL CHECK (action IN
        ('disable_users', 'restore_users', 'delete_runners', 'deactivate_teams', 'reactivate_teams')),
    state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'stopped', 'done')),
    -- The admin for whom it runs; it stops when they are no admin any more.
    admin_id uuid NOT NULL REFERENCES users (id),
    -- The selector as it was sent.
    selector jsonb NOT NULL,
    comment text NOT NULL,
    -- The request, for the audit rows of the items.
    request_ip text,
    user_agent text,
    request_id text,
    -- Why it was stopped.
    stop_reason text,
    -- The process that works on it, until that time.
    worked_on_by text,
    worked_on_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    CONSTRAINT batches_finished CHECK ((state = 'done') = (finished_at IS NOT NULL))
);
CREATE INDEX batches_running ON batches (created_at) WHERE state = 'running';

CREATE TABLE batch_items (
    batch_id uuid NOT NULL REFERENCES batches (id) ON DELETE CASCADE,
    -- 1, 2, 3 …
    number integer NOT NULL,
    -- The person, team or runner, and what people call it.
    subject_id uuid NOT NULL,
    name text NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'done', 'unchanged', 'spared', 'failed')),
    detail text,
    -- The job that removes a runner.
    job_id uuid,
    finished_at timestamptz,
    PRIMARY KEY (batch_id, number),
    CONSTRAINT batch_items_finished CHECK ((state = 'waiting') = (finished_at IS NULL))
);
CREATE INDEX batch_items_waiting ON batch_items (batch_id, number) WHERE state = 'waiting';
