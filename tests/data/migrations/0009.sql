-- A runner that registered itself and was taken for online before GitHub's id of it was known.
INSERT INTO users (id, email) VALUES ('00000000-0000-0000-0000-0000000000a1', 'ada@example.com');
INSERT INTO teams (id, name) VALUES ('00000000-0000-0000-0000-0000000000b1', 'red');
INSERT INTO runners (id, installation, team_id, owner_user, name, status, busy, offline_since, runner_group_id, labels,
    registers_itself, github_runner_id)
SELECT gen_random_uuid(), 'default', '00000000-0000-0000-0000-0000000000b1', '00000000-0000-0000-0000-0000000000a1',
    name, status, busy, CASE WHEN status = 'offline' THEN now() END, 1, '{linux}', true, github
FROM (VALUES ('stuck-1', 'active', true, NULL), ('stuck-2', 'offline', false, NULL), ('known', 'active', true, 7))
    AS r (name, status, busy, github);
INSERT INTO webhook_sweeps (installation, checked_until) VALUES ('default', now());
-- afterwards
SELECT (SELECT bool_and(status = 'pending' AND NOT busy AND offline_since IS NULL) AND count(*) = 2 FROM runners
        WHERE github_runner_id IS NULL)
    AND (SELECT status = 'active' AND busy FROM runners WHERE name = 'known')
    AND (SELECT count(*) = 2 AND bool_and(to_status = 'pending') FROM runner_events)
    AND (SELECT resume_from IS NULL AND checked_until IS NOT NULL FROM webhook_sweeps);
