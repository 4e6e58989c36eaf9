-- The owner of rows that were applied from files; null: made by hand. Removals by files touch the rows of their owner alone.
ALTER TABLE teams ADD COLUMN managed_by text;
ALTER TABLE users ADD COLUMN managed_by text;
ALTER TABLE oauth_clients ADD COLUMN managed_by text;
ALTER TABLE team_members ADD COLUMN managed_by text;
