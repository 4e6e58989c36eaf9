-- no-transaction
-- Finds the security events of one identity without reading the whole table backwards.
CREATE INDEX CONCURRENTLY IF NOT EXISTS security_events_identity ON security_events (user_identity, id DESC);
