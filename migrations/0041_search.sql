-- no-transaction
-- Finds runners by the beginning of their name and by a label, without reading the whole table backwards.

CREATE INDEX CONCURRENTLY IF NOT EXISTS runners_name_search ON runners (lower(name) text_pattern_ops);
CREATE INDEX CONCURRENTLY IF NOT EXISTS runners_label_search ON runners USING gin (folded_labels(labels));
