-- no-transaction
-- Finds the runners that live, by the beginning of their name and by a label, without reading those that are gone.

CREATE INDEX CONCURRENTLY IF NOT EXISTS runners_live_name ON runners (lower(name) text_pattern_ops)
    WHERE status <> 'deleted';
CREATE INDEX CONCURRENTLY IF NOT EXISTS runners_live_label ON runners USING gin (folded_labels(labels))
    WHERE status <> 'deleted';
CREATE INDEX CONCURRENTLY IF NOT EXISTS runners_deleted_label ON runners USING gin (folded_labels(labels))
    WHERE status = 'deleted';
DROP INDEX CONCURRENTLY IF EXISTS runners_label_search;
