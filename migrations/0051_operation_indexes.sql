-- no-transaction
-- The jobs of each worker: there are no more of them than slots.
CREATE INDEX CONCURRENTLY IF NOT EXISTS jobs_running ON jobs (started_by) WHERE state = 'running';
-- Severe security events that no admin has acknowledged.
CREATE INDEX CONCURRENTLY IF NOT EXISTS security_events_open ON security_events (id DESC)
    WHERE acknowledged_at IS NULL AND severity IN ('high', 'critical');
