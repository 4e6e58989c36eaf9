-- Equal entries of one actor within one minute share a row that counts them.

ALTER TABLE audit_log
    -- How often it happened between "timestamp" and last_at.
    ADD COLUMN occurrences integer NOT NULL DEFAULT 1,
    ADD COLUMN last_at timestamptz,
    -- Hash of the actor, the event, what tells equal entries apart, and the minute; only rows that may be counted up have one.
    ADD COLUMN repeat_key bytea;

ALTER TABLE security_events
    ADD COLUMN occurrences integer NOT NULL DEFAULT 1,
    ADD COLUMN last_at timestamptz,
    ADD COLUMN repeat_key bytea;
