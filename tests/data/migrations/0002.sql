-- A runner that was offline before anyone noted since when.
INSERT INTO users (id, email) VALUES ('00000000-0000-0000-0000-0000000000a1', 'ada@example.com');
INSERT INTO teams (id, name) VALUES ('00000000-0000-0000-0000-0000000000b1', 'red');
INSERT INTO runners (id, installation, team_id, owner_user, name, status, runner_group_id, labels, updated_at)
SELECT gen_random_uuid(), 'default', '00000000-0000-0000-0000-0000000000b1', '00000000-0000-0000-0000-0000000000a1',
    'ci-' || status, status, 1, '{linux}', '2025-01-02T03:04:05Z'
FROM unnest('{requested,pending,active,offline}'::text[]) AS s (status);
-- afterwards
SELECT count(*) = 4 AND count(*) FILTER (WHERE (offline_since = '2025-01-02T03:04:05Z') IS TRUE) = 1
    AND bool_and((status = 'offline') = (offline_since IS NOT NULL)) AND bool_and(missed = 0)
FROM runners;
