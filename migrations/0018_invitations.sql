-- An invitation by e-mail may be bound for 30 days from here on; null: from `created_at` on. Those that stand now begin anew.
ALTER TABLE users ADD COLUMN invited_at timestamptz;
UPDATE users SET invited_at = now() WHERE subject IS NULL;
