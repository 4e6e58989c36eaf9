-- no-transaction
-- The id of a removed machine client is free again.
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS oauth_clients_live_key ON oauth_clients (issuer, client_id) WHERE deleted_at IS NULL;
ALTER TABLE oauth_clients DROP CONSTRAINT IF EXISTS oauth_clients_client_key;
