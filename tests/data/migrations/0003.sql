-- Installations and runners that no webhook has told of.
INSERT INTO installations (id) VALUES ('games');
INSERT INTO users (id, email) VALUES ('00000000-0000-0000-0000-0000000000a1', 'ada@example.com');
INSERT INTO teams (id, name, installation) VALUES ('00000000-0000-0000-0000-0000000000b1', 'red', 'games');
INSERT INTO runners (id, installation, team_id, owner_user, name, status, runner_group_id, labels)
VALUES (gen_random_uuid(), 'games', '00000000-0000-0000-0000-0000000000b1', '00000000-0000-0000-0000-0000000000a1', 'ci',
    'active', 1, '{linux}');
-- afterwards
SELECT (SELECT bool_and(suspended_at IS NULL) AND count(*) = 2 FROM installations)
    AND (SELECT workflow_job_id IS NULL AND NOT busy FROM runners) AND (SELECT allowed_repositories = '{}' FROM teams);
