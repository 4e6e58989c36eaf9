-- Jobs and calls from before their history was kept.
INSERT INTO jobs (id, kind, installation, state, deadline_at, params, fence, started_by, started_at, finished_at)
SELECT ('00000000-0000-7000-8000-00000000000' || n)::uuid, 'provision', 'default', state, now(), '{"kind": "provision"}', 1,
    'old', now(), CASE WHEN state <> 'running' THEN now() END
FROM unnest(ARRAY['running', 'succeeded', 'failed']) WITH ORDINALITY AS s (state, n);
INSERT INTO github_calls (id, job_id, installation, generation, runner_name, fence, state)
SELECT gen_random_uuid(), id, 'default', 1, 'ci', 1, 'delivered' FROM jobs;
-- afterwards
SELECT (SELECT count(*) = 3 AND bool_and(run_started_at IS NULL AND dismissed_at IS NULL) FROM jobs)
    AND (SELECT count(*) = 3 AND bool_and(github_request_id IS NULL) FROM github_calls)
    AND (SELECT closed_until <= now() FROM flow_progress) AND flow_histogram(ARRAY[0, 2, 2], 3) = ARRAY[1, 0, 2]::bigint[]
    AND flow_histogram(NULL, 2) = ARRAY[0, 0]::bigint[] AND NOT EXISTS (SELECT FROM pg_index WHERE NOT indisvalid);
