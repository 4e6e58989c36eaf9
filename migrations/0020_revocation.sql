-- Revocation of people, machine clients and teams, and a role that only reads.

-- A removed machine client keeps its row for the runners, jobs and audit rows that name it; its id is free again.
ALTER TABLE oauth_clients ADD COLUMN deleted_at timestamptz;
CREATE UNIQUE INDEX oauth_clients_live_key ON oauth_clients (issuer, client_id) WHERE deleted_at IS NULL;
ALTER TABLE oauth_clients DROP CONSTRAINT oauth_clients_client_key;
ALTER INDEX oauth_clients_live_key RENAME TO oauth_clients_client_key;

-- Sees everything, changes nothing, gets no config.
ALTER TABLE users ADD COLUMN is_viewer boolean NOT NULL DEFAULT false;
