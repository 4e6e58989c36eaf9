-- no-transaction
-- The order of the chain.

CREATE INDEX CONCURRENTLY IF NOT EXISTS audit_log_chain ON audit_log (transaction_id, id);
CREATE INDEX CONCURRENTLY IF NOT EXISTS security_events_chain ON security_events (transaction_id, id);
