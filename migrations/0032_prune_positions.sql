-- How far each table has been pruned. Rows that may not go yet are passed over, and looked at again a day later.

CREATE TABLE prune_positions (
    table_name text PRIMARY KEY,
    -- The last row looked at, by age and id.
    at timestamptz NOT NULL DEFAULT 'epoch',
    id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    -- When the table was begun from its oldest row.
    started_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO prune_positions (table_name) VALUES ('jobs'), ('runners');
