-- A machine client that an admin has removed, and one with the same id at another issuer.
INSERT INTO teams (id, name) VALUES ('00000000-0000-0000-0000-0000000000b1', 'red');
INSERT INTO oauth_clients (id, client_id, issuer, team_id, deleted_at)
VALUES (gen_random_uuid(), 'deploy', 'https://ci', '00000000-0000-0000-0000-0000000000b1', now()),
    (gen_random_uuid(), 'deploy', 'https://other', '00000000-0000-0000-0000-0000000000b1', NULL);
-- afterwards
WITH again AS (
    INSERT INTO oauth_clients (id, client_id, issuer, team_id)
    VALUES (gen_random_uuid(), 'deploy', 'https://ci', '00000000-0000-0000-0000-0000000000b1') RETURNING id)
SELECT (SELECT count(*) = 2 FROM oauth_clients) AND EXISTS (SELECT FROM again);
