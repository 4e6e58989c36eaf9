-- no-transaction
-- Failures of a member or a small team are found and counted without reading everybody's failures. Replaces
-- `audit_log_failures`.
CREATE INDEX CONCURRENTLY IF NOT EXISTS audit_log_failures_by_owner ON audit_log (id DESC)
    INCLUDE (team_id, user_id, client_id) WHERE NOT success;
DROP INDEX CONCURRENTLY IF EXISTS audit_log_failures;
