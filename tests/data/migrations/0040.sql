-- An audit row and a machine client of an earlier release.
INSERT INTO teams (id, name) VALUES ('00000000-0000-0000-0000-0000000000c1', 'red');
INSERT INTO audit_log (id, event_type, success) VALUES (gen_random_uuid(), 'team.create', true);
INSERT INTO oauth_clients (id, client_id, issuer, team_id)
VALUES (gen_random_uuid(), 'deploy', 'https://ci', '00000000-0000-0000-0000-0000000000c1');
-- afterwards
SELECT (SELECT oidc_sub IS NULL FROM audit_log) AND (SELECT created_by IS NULL FROM oauth_clients)
    AND folded_labels(ARRAY['GPU-Large', 'x64']) = ARRAY['gpu-large', 'x64'] AND folded_labels('{}') = '{}';
