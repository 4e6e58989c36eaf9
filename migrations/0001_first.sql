-- The first tables. All times are the database's clock. Ids are UUIDv7 made by the service. Rows that are written for every
-- request name their installation without a foreign key: it would make all of them lock the same row.

CREATE TABLE installations (
    id         text PRIMARY KEY CHECK (id ~ '^[a-z0-9-]{1,40}$'),
    created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO installations (id) VALUES ('default');

CREATE TABLE users (
    id                         uuid PRIMARY KEY,
    email                      text,
    issuer                     text,
    subject                    text,
    display_name               text,
    is_admin                   boolean NOT NULL DEFAULT false,
    is_active                  boolean NOT NULL DEFAULT true,
    can_use_jit                boolean NOT NULL DEFAULT true,
    can_use_registration_token boolean NOT NULL DEFAULT false,
    created_at                 timestamptz NOT NULL DEFAULT now(),
    last_login_at              timestamptz,
    CONSTRAINT users_identity_key UNIQUE (issuer, subject),
    CONSTRAINT users_named CHECK (email IS NOT NULL OR subject IS NOT NULL),
    CONSTRAINT users_bound_whole CHECK (subject IS NULL OR issuer IS NOT NULL)
);
-- One person per e-mail address, bound or not.
CREATE UNIQUE INDEX users_email_key ON users (lower(email));

CREATE TABLE teams (
    id                       uuid PRIMARY KEY,
    name                     text NOT NULL,
    description              text,
    required_labels          text[] NOT NULL DEFAULT '{}',
    optional_label_patterns  text[] NOT NULL DEFAULT '{}',
    allowed_runner_group_ids bigint[] NOT NULL DEFAULT '{}',
    max_runners              integer CHECK (max_runners >= 0),
    weight                   double precision NOT NULL DEFAULT 1 CHECK (weight > 0 AND weight <= 100),
    drift_response           text NOT NULL DEFAULT 'delete' CHECK (drift_response IN ('observe', 'repair', 'delete')),
    installation             text NOT NULL DEFAULT 'default' REFERENCES installations,
    is_active                boolean NOT NULL DEFAULT true,
    deactivation_reason      text,
    created_at               timestamptz NOT NULL DEFAULT now(),
    updated_at               timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX teams_name_key ON teams (lower(name));

CREATE TABLE team_members (
    team_id   uuid NOT NULL REFERENCES teams,
    user_id   uuid NOT NULL REFERENCES users,
    joined_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, team_id)
);
CREATE INDEX team_members_team ON team_members (team_id);

CREATE TABLE oauth_clients (
    id           uuid PRIMARY KEY,
    client_id    text NOT NULL,
    issuer       text NOT NULL,
    team_id      uuid NOT NULL REFERENCES teams,
    description  text,
    rule         jsonb,
    is_active    boolean NOT NULL DEFAULT true,
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    CONSTRAINT oauth_clients_client_key UNIQUE (issuer, client_id)
);
CREATE INDEX oauth_clients_team ON oauth_clients (team_id);

CREATE TABLE runners (
    id               uuid PRIMARY KEY,
    installation     text NOT NULL,
    team_id          uuid NOT NULL REFERENCES teams,
    owner_user       uuid REFERENCES users,
    owner_client     uuid REFERENCES oauth_clients,
    name             text NOT NULL,
    status           text NOT NULL CHECK (status IN ('requested', 'pending', 'active', 'offline', 'deleted')),
    busy             boolean NOT NULL DEFAULT false,
    github_runner_id bigint,
    runner_group_id  bigint NOT NULL,
    labels           text[] NOT NULL,
    ephemeral        boolean NOT NULL DEFAULT true,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    registered_at    timestamptz,
    deleted_at       timestamptz,
    CONSTRAINT runners_one_owner CHECK (num_nonnulls(owner_user, owner_client) = 1),
    CONSTRAINT runners_deleted_since CHECK ((status = 'deleted') = (deleted_at IS NOT NULL))
);
-- A name is free again once its runner is deleted.
CREATE UNIQUE INDEX runners_name_key ON runners (installation, lower(name)) WHERE status <> 'deleted';
-- The quota is counted from this.
CREATE INDEX runners_team_live ON runners (team_id) WHERE status <> 'deleted';
CREATE INDEX runners_team ON runners (team_id, id DESC);
CREATE INDEX runners_owner_user ON runners (owner_user, id DESC) WHERE owner_user IS NOT NULL;
CREATE INDEX runners_owner_client ON runners (owner_client, id DESC) WHERE owner_client IS NOT NULL;
CREATE UNIQUE INDEX runners_github_key ON runners (installation, github_runner_id) WHERE status <> 'deleted';

CREATE TABLE jobs (
    id               uuid PRIMARY KEY,
    kind             text NOT NULL CHECK (kind IN ('provision', 'deprovision', 'drift_check')),
    installation     text NOT NULL,
    team_id          uuid REFERENCES teams,
    requester_user   uuid REFERENCES users,
    requester_client uuid REFERENCES oauth_clients,
    runner_id        uuid REFERENCES runners,
    call_id          uuid,
    state            text NOT NULL DEFAULT 'queued'
                     CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'expired')),
    blocked_on       text CHECK (blocked_on IN ('worker', 'budget', 'github_outage', 'paused', 'retry', 'busy')),
    attempts         integer NOT NULL DEFAULT 0,
    snoozes          integer NOT NULL DEFAULT 0,
    rescues          integer NOT NULL DEFAULT 0,
    fence            bigint NOT NULL DEFAULT 0,
    started_by       text,
    run_at           timestamptz NOT NULL DEFAULT now(),
    deadline_at      timestamptz NOT NULL,
    params           jsonb NOT NULL CHECK (pg_column_size(params) <= 8192),
    error            jsonb,
    trace            text,
    created_at       timestamptz NOT NULL DEFAULT now(),
    started_at       timestamptz,
    finished_at      timestamptz,
    updated_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT jobs_finished_when_final CHECK ((state IN ('queued', 'running')) = (finished_at IS NULL))
);
-- What is not final: the sweep reads this, and it stays as small as the backlog.
CREATE INDEX jobs_open ON jobs (id) WHERE finished_at IS NULL;
CREATE INDEX jobs_open_deadline ON jobs (deadline_at) WHERE finished_at IS NULL;
CREATE UNIQUE INDEX jobs_one_open_deprovision ON jobs (runner_id) WHERE kind = 'deprovision' AND finished_at IS NULL;
CREATE UNIQUE INDEX jobs_one_open_drift_check ON jobs (runner_id) WHERE kind = 'drift_check' AND finished_at IS NULL;
CREATE UNIQUE INDEX jobs_one_open_reap ON jobs (call_id) WHERE call_id IS NOT NULL AND finished_at IS NULL;
CREATE INDEX jobs_team ON jobs (team_id, id DESC);
CREATE INDEX jobs_runner ON jobs (runner_id);
CREATE INDEX jobs_requester_user ON jobs (requester_user, id DESC) WHERE requester_user IS NOT NULL;
CREATE INDEX jobs_requester_client ON jobs (requester_client, id DESC) WHERE requester_client IS NOT NULL;

-- One job per requester and Idempotency-Key; outlives the job.
CREATE TABLE idempotency_keys (
    requester  text NOT NULL,
    key        text NOT NULL,
    body_hash  bytea NOT NULL,
    job_id     uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (requester, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

-- Intents: committed before GitHub is asked to make a runner.
CREATE TABLE github_calls (
    id               uuid PRIMARY KEY,
    job_id           uuid NOT NULL REFERENCES jobs,
    installation     text NOT NULL,
    generation       smallint NOT NULL CHECK (generation > 0),
    runner_name      text NOT NULL,
    fence            bigint NOT NULL,
    state            text NOT NULL DEFAULT 'intent'
                     CHECK (state IN ('intent', 'delivered', 'refused', 'effect_suspected', 'settled')),
    github_runner_id bigint,
    reap_attempts    smallint NOT NULL DEFAULT 0,
    next_reap_at     timestamptz,
    started_at       timestamptz NOT NULL DEFAULT now(),
    finished_at      timestamptz,
    CONSTRAINT github_calls_generation_key UNIQUE (job_id, generation),
    CONSTRAINT github_calls_reap_when_suspected CHECK ((state = 'effect_suspected') = (next_reap_at IS NOT NULL))
);
CREATE INDEX github_calls_due ON github_calls (next_reap_at) WHERE next_reap_at IS NOT NULL;
CREATE INDEX github_calls_name ON github_calls (installation, lower(runner_name));

-- The encoded JIT config, sealed, until it was handed out or its time is over. Shredding empties the row.
CREATE TABLE credentials (
    job_id       uuid PRIMARY KEY REFERENCES jobs,
    runner_name  text NOT NULL,
    key_id       text,
    wrapped_key  bytea,
    ciphertext   bytea,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    first_read_at timestamptz,
    shredded_at  timestamptz,
    CONSTRAINT credentials_shredded_whole CHECK (
        (shredded_at IS NULL) = (ciphertext IS NOT NULL)
        AND (ciphertext IS NULL) = (wrapped_key IS NULL)
        AND (ciphertext IS NULL) = (key_id IS NULL))
);
CREATE INDEX credentials_live ON credentials (expires_at) WHERE shredded_at IS NULL;

CREATE TABLE audit_log (
    id            uuid PRIMARY KEY,
    event_type    text NOT NULL,
    user_id       uuid,
    client_id     uuid,
    user_identity text,
    runner_id     uuid,
    runner_name   text,
    team_id       uuid,
    job_id        uuid,
    request_ip    text,
    user_agent    text,
    request_id    text,
    event_data    jsonb,
    success       boolean NOT NULL,
    error_message text,
    "timestamp"   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX audit_log_team ON audit_log (team_id, id DESC);
CREATE INDEX audit_log_runner ON audit_log (runner_id, id DESC) WHERE runner_id IS NOT NULL;
CREATE INDEX audit_log_user ON audit_log (user_id, id DESC) WHERE user_id IS NOT NULL;
CREATE INDEX audit_log_client ON audit_log (client_id, id DESC) WHERE client_id IS NOT NULL;
CREATE INDEX audit_log_event ON audit_log (event_type, id DESC);

CREATE TABLE security_events (
    id             uuid PRIMARY KEY,
    event_type     text NOT NULL,
    severity       text NOT NULL CHECK (severity IN ('low', 'medium', 'high', 'critical')),
    user_identity  text,
    runner_id      uuid,
    runner_name    text,
    team_id        uuid,
    violation_data jsonb,
    action_taken   text NOT NULL,
    "timestamp"    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX security_events_team ON security_events (team_id, id DESC);
CREATE INDEX security_events_type ON security_events (event_type, id DESC);
