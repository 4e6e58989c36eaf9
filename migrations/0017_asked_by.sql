-- Who asked, more exactly: a machine client acts through many subjects (workflows, service accounts), and only the one that
-- asked gets the config. The SHA-256 of issuer and subject; null for people and for rows of an earlier release.
ALTER TABLE jobs ADD COLUMN asked_by bytea;
ALTER TABLE idempotency_keys ADD COLUMN asked_by bytea;
