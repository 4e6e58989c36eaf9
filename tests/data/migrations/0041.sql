-- A runner of an earlier release.
INSERT INTO teams (id, name) VALUES ('00000000-0000-0000-0000-0000000000d1', 'red');
INSERT INTO users (id, email) VALUES ('00000000-0000-0000-0000-0000000000d2', 'ada@example.com');
INSERT INTO runners (id, installation, team_id, owner_user, name, status, runner_group_id, labels, ephemeral)
VALUES (gen_random_uuid(), 'default', '00000000-0000-0000-0000-0000000000d1', '00000000-0000-0000-0000-0000000000d2',
    'Web-1', 'requested', 1, '{GPU-Large}', true);
-- afterwards
SELECT (SELECT count(*) = 4 FROM pg_index WHERE indisvalid
        AND indexrelid IN ('runners_name_search'::regclass, 'runners_live_name'::regclass,
            'runners_live_label'::regclass, 'runners_deleted_label'::regclass))
    AND (SELECT count(*) = 1 FROM runners WHERE lower(name) LIKE 'web-%' AND folded_labels(labels) @> '{gpu-large}');
