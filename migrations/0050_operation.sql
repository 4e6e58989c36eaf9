-- What admins decide about a running service, and what they look at.

-- Pauses by admins. Redis has a copy of each, which it may lose.
CREATE TABLE pauses (
    -- `lane:<lane>` or `installation:<id>`
    scope     text PRIMARY KEY,
    reason    text CHECK (length(reason) <= 500),
    paused_by text NOT NULL,
    paused_at timestamptz NOT NULL DEFAULT now(),
    ends_at   timestamptz NOT NULL
);

ALTER TABLE workers
    ADD COLUMN host text,
    -- Lanes it takes jobs of, and installations it has a credential for; null: an earlier version, which does not say.
    ADD COLUMN lanes text[],
    ADD COLUMN installations text[],
    -- An admin wants it to end its jobs and to take no more.
    ADD COLUMN drain_requested_at timestamptz,
    ADD COLUMN drain_requested_by text,
    ADD COLUMN drain_reason text CHECK (length(drain_reason) <= 500);

-- The last call that GitHub refused until an operator changes a key, a permission or a setting.
ALTER TABLE installations
    ADD COLUMN refused_at timestamptz,
    ADD COLUMN refusal text CHECK (length(refusal) <= 500);

ALTER TABLE security_events
    ADD COLUMN acknowledged_at timestamptz,
    ADD COLUMN acknowledged_by text,
    ADD COLUMN acknowledgement text CHECK (length(acknowledgement) <= 500),
    ADD CONSTRAINT security_events_acknowledged_whole
        CHECK ((acknowledged_at IS NULL) = (acknowledged_by IS NULL)) NOT VALID;
