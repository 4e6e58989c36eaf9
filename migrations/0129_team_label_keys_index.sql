-- no-transaction
-- Finds the teams that require one of a request's labels.

CREATE INDEX CONCURRENTLY IF NOT EXISTS teams_label_keys ON teams USING gin (required_label_keys) WITH (fastupdate = off);
