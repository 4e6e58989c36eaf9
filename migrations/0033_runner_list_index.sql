-- no-transaction
-- Almost every runner is ephemeral: those that are not are found without reading the others.

CREATE INDEX CONCURRENTLY IF NOT EXISTS runners_lasting ON runners (id DESC) WHERE NOT ephemeral;
