-- What GitHub tells us by webhook, and what follows from it.

-- Deliveries, stored before anything is done about them. GitHub's GUID is the same on redelivery.
CREATE TABLE webhook_inbox (
    delivery_id         uuid PRIMARY KEY,
    event               text NOT NULL,
    action              text,
    github_installation bigint,
    payload             jsonb NOT NULL CHECK (pg_column_size(payload) <= 65536),
    state               text NOT NULL CHECK (state IN ('pending', 'processed', 'ignored', 'failed')),
    note                text,
    attempts            smallint NOT NULL DEFAULT 0,
    next_at             timestamptz NOT NULL DEFAULT now(),
    received_at         timestamptz NOT NULL DEFAULT now(),
    settled_at          timestamptz,
    CONSTRAINT webhook_inbox_settled_since CHECK ((state = 'pending') = (settled_at IS NULL))
);
CREATE INDEX webhook_inbox_pending ON webhook_inbox (next_at) WHERE state = 'pending';
CREATE INDEX webhook_inbox_settled ON webhook_inbox (settled_at) WHERE state <> 'pending';

-- The newest workflow job seen on a runner, by GitHub's clock: a late event cannot undo a newer one.
ALTER TABLE runners
    ADD COLUMN workflow_job_id bigint,
    ADD COLUMN workflow_completed boolean,
    ADD COLUMN workflow_event_at timestamptz,
    ADD CONSTRAINT runners_workflow_whole
        CHECK (num_nonnulls(workflow_job_id, workflow_completed, workflow_event_at) IN (0, 3));

-- Which jobs may run on a team's runners; empty allows all.
ALTER TABLE teams
    ADD COLUMN allowed_repositories text[] NOT NULL DEFAULT '{}',
    ADD COLUMN allowed_workflows text[] NOT NULL DEFAULT '{}';

-- Since when GitHub lets us do nothing for this installation of the App, and by which of its events we know.
ALTER TABLE installations
    ADD COLUMN suspended_at timestamptz,
    ADD COLUMN suspended_github_id bigint,
    ADD COLUMN changed_at timestamptz,
    ADD CONSTRAINT installations_suspended_whole
        CHECK ((suspended_at IS NULL) = (suspended_github_id IS NULL));

-- Workflow runs to be cancelled because of a job that should not run where it runs.
CREATE TABLE workflow_cancellations (
    id              uuid PRIMARY KEY,
    installation    text NOT NULL REFERENCES installations,
    repository      text NOT NULL,
    run_id          bigint NOT NULL,
    workflow_job_id bigint NOT NULL,
    runner_id       uuid NOT NULL REFERENCES runners,
    reason          text NOT NULL,
    state           text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'done', 'given_up')),
    attempts        smallint NOT NULL DEFAULT 0,
    next_at         timestamptz NOT NULL DEFAULT now(),
    note            text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    settled_at      timestamptz,
    CONSTRAINT workflow_cancellations_job_key UNIQUE (installation, workflow_job_id),
    CONSTRAINT workflow_cancellations_settled_since CHECK ((state = 'pending') = (settled_at IS NULL))
);
CREATE INDEX workflow_cancellations_due ON workflow_cancellations (next_at) WHERE state = 'pending';
CREATE INDEX workflow_cancellations_runner ON workflow_cancellations (runner_id);

-- How far the list of failed deliveries has been read, and when it is read again.
CREATE TABLE webhook_sweeps (
    installation  text PRIMARY KEY REFERENCES installations,
    checked_until timestamptz,
    next_at       timestamptz NOT NULL DEFAULT now()
);

-- Deliveries GitHub was asked to send again.
CREATE TABLE webhook_redeliveries (
    delivery_id uuid PRIMARY KEY,
    attempts    smallint NOT NULL DEFAULT 1,
    last_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX webhook_redeliveries_age ON webhook_redeliveries (last_at);
