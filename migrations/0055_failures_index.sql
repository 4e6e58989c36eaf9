-- no-transaction
-- Failures by their cause; those that an admin has dealt with leave it.
CREATE INDEX CONCURRENTLY IF NOT EXISTS jobs_failures ON jobs ((error ->> 'code'), finished_at DESC)
    WHERE state IN ('failed', 'expired') AND dismissed_at IS NULL;
