-- no-transaction
-- Filters of the lists that would otherwise read the whole table backwards.

-- Almost every job has succeeded: those that have not are found by their state.
CREATE INDEX CONCURRENTLY IF NOT EXISTS jobs_state ON jobs (state, id DESC) WHERE state <> 'succeeded';
CREATE INDEX CONCURRENTLY IF NOT EXISTS jobs_kind ON jobs (kind, id DESC);
CREATE INDEX CONCURRENTLY IF NOT EXISTS audit_log_identity ON audit_log (user_identity, id DESC);
CREATE INDEX CONCURRENTLY IF NOT EXISTS audit_log_failures ON audit_log (id DESC) WHERE NOT success;
CREATE INDEX CONCURRENTLY IF NOT EXISTS security_events_severity ON security_events (severity, id DESC);
