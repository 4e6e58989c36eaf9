-- Jobs of every kind and state from before registration tokens.
INSERT INTO jobs (id, kind, installation, state, deadline_at, params, finished_at)
SELECT gen_random_uuid(), kind, 'default', state, now(), jsonb_build_object('kind', kind),
    CASE WHEN state NOT IN ('queued', 'running') THEN now() END
FROM unnest('{provision,deprovision,drift_check}'::text[]) AS k (kind),
    unnest('{queued,running,succeeded,failed,cancelled,expired}'::text[]) AS s (state);
-- afterwards
WITH one AS (
    INSERT INTO jobs (id, kind, installation, deadline_at, params)
    VALUES (gen_random_uuid(), 'register', 'default', now(), '{"kind": "register"}') RETURNING joined)
SELECT (SELECT count(*) = 18 AND bool_and(joined = 0 AND asked_by IS NULL) FROM jobs) AND joined = 0 FROM one;
