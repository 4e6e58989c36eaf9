-- A small organisation: two teams, one of them closed; people in each state; a pipeline; runners in each state.

INSERT INTO teams VALUES
    ('11111111-1111-4111-8111-111111111111', 'Web Team', 'Front end', '["web"]', '["gpu-", "^large$"]', 2, true, NULL,
        NULL, NULL, '2026-01-05', '2026-01-05', 'root@example.com'),
    ('22222222-2222-4222-8222-222222222222', 'old', NULL, '["old"]', NULL, NULL, false, 'merged into web',
        '2026-03-01', 'root@example.com', '2026-01-05', '2026-03-01', NULL),
    ('33333333-3333-4333-8333-333333333333', 'broken', NULL, 'no json', NULL, NULL, true, NULL, NULL, NULL,
        '2026-01-05', '2026-01-05', NULL);

INSERT INTO users VALUES
    ('aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa', 'ada@example.com', 'ada', 'Ada', false, true, true, '2026-01-06',
        '2026-01-06', '2026-04-01', NULL),
    ('bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb', 'bob@example.com', NULL, NULL, true, true, true, '2026-01-07',
        '2026-01-07', NULL, NULL),
    ('cccccccc-cccc-4ccc-8ccc-cccccccccccc', 'gone@example.com', 'gone', '', false, false, false, '2026-01-08',
        '2026-01-08', NULL, NULL),
    ('nobody', 'odd@example.com', NULL, NULL, false, true, true, '2026-01-09', '2026-01-09', NULL, NULL);

INSERT INTO user_team_memberships VALUES
    ('m1', 'aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa', '11111111-1111-4111-8111-111111111111', '2026-01-06', NULL),
    ('m2', 'nobody', '11111111-1111-4111-8111-111111111111', '2026-01-06', NULL);

INSERT INTO oauth_clients VALUES
    ('dddddddd-dddd-4ddd-8ddd-dddddddddddd', 'pipeline@clients', '11111111-1111-4111-8111-111111111111',
        'Builds', true, '2026-01-10', NULL, NULL);

INSERT INTO runners VALUES
    ('e0000000-0000-4000-8000-000000000001', 'web-1', 9001, 1, '["web", "gpu-1"]', true, false, 'ada@example.com',
        'ada', '11111111-1111-4111-8111-111111111111', 'Web Team', 'active', 'https://github.com/octo', '2026-04-01',
        '2026-04-01', '2026-04-01', NULL),
    ('e0000000-0000-4000-8000-000000000002', 'web-2', 9002, 1, '["web"]', true, false, 'm2m:Web Team',
        'pipeline@clients', '11111111-1111-4111-8111-111111111111', 'Web Team', 'offline', 'https://github.com/octo',
        '2026-04-01', '2026-04-01', '2026-04-01', NULL),
    ('e0000000-0000-4000-8000-000000000003', 'teamless', 9003, 1, '[]', true, false, 'ada@example.com', 'ada', NULL,
        NULL, 'active', 'https://github.com/octo', '2026-04-01', '2026-04-01', '2026-04-01', NULL),
    ('e0000000-0000-4000-8000-000000000004', 'web-0', 9000, 1, '["web"]', true, false, 'ada@example.com', 'ada',
        '11111111-1111-4111-8111-111111111111', 'Web Team', 'deleted', 'https://github.com/octo', '2026-03-01',
        '2026-03-01', '2026-03-01', '2026-03-02');

INSERT INTO audit_log (event_type, runner_name, team_id, user_identity, oidc_sub, request_ip, event_data, success,
    error_message, timestamp) VALUES
    ('provision_jit', 'web-1', '11111111-1111-4111-8111-111111111111', 'ada@example.com', 'ada', '10.0.0.1',
        '{"labels": ["web", "gpu-1"]}', true, NULL, '2026-04-01 12:00:00'),
    ('provision_jit_failed', NULL, NULL, 'eve@example.com', NULL, NULL, 'no \u0000 json', false, 'not a member',
        '2026-04-02 12:00:00');
