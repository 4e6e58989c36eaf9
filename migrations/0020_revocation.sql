-- Revocation of people, machine clients and teams, and a role that only reads.

-- A removed machine client keeps its row for the runners, jobs and audit rows that name it; its id is free again.
ALTER TABLE oauth_clients ADD COLUMN deleted_at timestamptz;

-- Sees everything, changes nothing, gets no config.
ALTER TABLE users ADD COLUMN is_viewer boolean NOT NULL DEFAULT false;
