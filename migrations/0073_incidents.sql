-- The incident switch: what it switched off, and what is switched on again when it is undone.

CREATE TABLE incidents (
    id uuid PRIMARY KEY,
    target_kind text NOT NULL CHECK (target_kind IN ('team', 'issuer', 'user', 'client')),
    -- The team, person or machine client; null for an issuer.
    target_id uuid,
    target_name text NOT NULL,
    reason text NOT NULL,
    state text NOT NULL DEFAULT 'revoking' CHECK (state IN ('revoking', 'active', 'undoing', 'undone')),
    -- The admin for whom it runs.
    admin_id uuid NOT NULL REFERENCES users (id),
    request_ip text,
    user_agent text,
    request_id text,
    -- The process that works on it, until that time.
    worked_on_by text,
    worked_on_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    undone_at timestamptz,
    undone_by text,
    CONSTRAINT incidents_target CHECK ((target_id IS NULL) = (target_kind = 'issuer'))
);
CREATE INDEX incidents_unfinished ON incidents (created_at) WHERE state IN ('revoking', 'undoing');

CREATE TABLE incident_items (
    incident_id uuid NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    -- 1, 2, 3 …
    number integer NOT NULL,
    -- A person, machine client or team is deactivated; of an issuer's, only the open requests and configs end.
    kind text NOT NULL CHECK (kind IN ('team', 'user', 'client', 'requests_of_user', 'requests_of_client', 'runner')),
    subject_id uuid NOT NULL,
    name text NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'done', 'unchanged', 'failed', 'undone')),
    detail text,
    job_id uuid,
    PRIMARY KEY (incident_id, number)
);
CREATE INDEX incident_items_waiting ON incident_items (incident_id, number) WHERE state = 'waiting';

-- Tokens of these issuers are refused.
CREATE TABLE blocked_issuers (
    issuer text PRIMARY KEY,
    incident_id uuid NOT NULL REFERENCES incidents (id)
);
