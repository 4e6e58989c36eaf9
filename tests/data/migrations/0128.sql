-- Teams that require labels in two cases and scripts, and none.
INSERT INTO teams (id, name, required_labels) VALUES
    ('00000000-0000-0000-0000-0000000000c1', 'red', '{Team-Red,linux}'),
    ('00000000-0000-0000-0000-0000000000c2', 'blue', '{Straße,"a b"}'),
    ('00000000-0000-0000-0000-0000000000c3', 'green', '{}');
-- afterwards
SELECT array_agg(required_label_keys::text ORDER BY id) = ARRAY['{team-red,linux}', '{"","a b"}', '{}'] FROM teams
