-- A team with a member and a machine client, all made by hand.
INSERT INTO teams (id, name) VALUES ('00000000-0000-0000-0000-0000000000b1', 'red');
INSERT INTO users (id, email) VALUES ('00000000-0000-0000-0000-0000000000b2', 'ada@example.com');
INSERT INTO team_members (team_id, user_id)
VALUES ('00000000-0000-0000-0000-0000000000b1', '00000000-0000-0000-0000-0000000000b2');
INSERT INTO oauth_clients (id, client_id, issuer, team_id)
VALUES (gen_random_uuid(), 'deploy', 'https://ci', '00000000-0000-0000-0000-0000000000b1');
-- afterwards
SELECT count(*) = 4 FROM (
    SELECT managed_by FROM teams UNION ALL SELECT managed_by FROM users
    UNION ALL SELECT managed_by FROM oauth_clients UNION ALL SELECT managed_by FROM team_members) made
WHERE managed_by IS NULL;
