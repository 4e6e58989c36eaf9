-- no-transaction
-- The rows that are counted up are found by their keys.

CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS audit_log_repeat ON audit_log (repeat_key) WHERE repeat_key IS NOT NULL;
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS security_events_repeat ON security_events (repeat_key)
    WHERE repeat_key IS NOT NULL;
