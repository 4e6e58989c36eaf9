-- no-transaction
-- Searches: failed jobs by error code, security events by runner. Few rows enter either index.
CREATE INDEX CONCURRENTLY IF NOT EXISTS jobs_error_code ON jobs ((error ->> 'code'), id DESC)
    WHERE state IN ('failed', 'expired');
CREATE INDEX CONCURRENTLY IF NOT EXISTS security_events_runner ON security_events (runner_id, id DESC)
    WHERE runner_id IS NOT NULL;
