-- Claim rules as long as an earlier release took them, and one that pins nothing.
INSERT INTO teams (id, name) VALUES ('00000000-0000-0000-0000-0000000000b1', 'red');
INSERT INTO oauth_clients (id, client_id, issuer, team_id, rule)
SELECT gen_random_uuid(), 'c' || n, 'https://ci', '00000000-0000-0000-0000-0000000000b1',
    jsonb_build_object('subject', repeat('x', n * 30) || ':*', 'claims', jsonb_build_object('ref', repeat('y', n * 300)))
FROM generate_series(1, 8) n;
INSERT INTO oauth_clients (id, client_id, issuer, team_id, rule)
VALUES (gen_random_uuid(), 'open', 'https://ci', '00000000-0000-0000-0000-0000000000b1', '{"subject": "*"}'),
    (gen_random_uuid(), 'named', 'https://ci', '00000000-0000-0000-0000-0000000000b1', NULL);
-- afterwards
SELECT count(*) = 10 AND count(claim_rule_key(rule)) FILTER (WHERE rule IS NOT NULL) = 9 AND bool_and(deleted_at IS NULL) FROM oauth_clients;
