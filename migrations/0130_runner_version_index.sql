-- no-transaction
-- Versions in use are counted from the index: the live runners are spread over the whole table.
CREATE INDEX CONCURRENTLY IF NOT EXISTS runners_version ON runners (installation, version, stated_version)
    WHERE status <> 'deleted' AND (version IS NOT NULL OR stated_version IS NOT NULL);
