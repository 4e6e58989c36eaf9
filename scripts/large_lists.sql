-- Rows of a large installation. `bench.runners` is the number of runners; everything else is in proportion: for a million
-- runners 5,000,000 jobs, 10,000,000 audit rows, 1,000,000 security events, 1,000 teams and 10,000 people. One team
-- of a thousand has a twelfth of the rows, and two of a hundred runners live. On a database with all migrations:
--
--     psql DATABASE -c 'SET bench.runners = 1000000' -f scripts/large_lists.sql
--
-- Foreign keys and triggers are off while the rows are made, and most indexes are made afterwards.

SET session_replication_role = replica;
SET synchronous_commit = off;
SET maintenance_work_mem = '512MB';

-- Two functions of the nth of `rows` rows of the last 90 days: its UUIDv7 and its time. They end now, as a constant, so
-- that PostgreSQL can inline them.
DO $do$ BEGIN
    EXECUTE replace($functions$
        CREATE FUNCTION pg_temp.row_id(nth bigint, rows bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
            SELECT (lpad(to_hex({now} - (rows - nth) * 7776000000 / rows), 12, '0')
                || '7' || lpad(to_hex(nth % 4096), 3, '0') || '8' || lpad(to_hex(nth), 15, '0'))::uuid
        $$;
        CREATE FUNCTION pg_temp.row_time(nth bigint, rows bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
            SELECT to_timestamp(({now} - (rows - nth) * 7776000000 / rows) / 1000.0)
        $$;
    $functions$, '{now}', (extract(epoch FROM now()) * 1000)::bigint::text);
END $do$;
-- Returns a number below 1 that looks random.
CREATE FUNCTION pg_temp.spread(nth bigint) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$
    SELECT (nth * 2654435761 % 1000003) / 1000003.0::double precision
$$;

CREATE TEMP TABLE sizes AS
    SELECT runners, runners * 5 AS jobs, runners * 10 AS audit, greatest(runners / 1000, 10) AS teams,
        greatest(runners / 100, 100) AS people
    FROM (SELECT current_setting('bench.runners')::bigint AS runners) given;

INSERT INTO teams (id, name, required_labels)
    SELECT pg_temp.row_id(n, teams), 'large-' || n, ARRAY['linux'] FROM sizes, generate_series(1, teams) n;
INSERT INTO users (id, email, issuer, subject, is_active)
    SELECT pg_temp.row_id(n, people), 'person-' || n || '@example.com', 'https://issuer.example', 'person-' || n, n % 10 > 0
    FROM sizes, generate_series(1, people) n;
INSERT INTO team_members (team_id, user_id)
    SELECT DISTINCT pg_temp.row_id(1 + (n * k) % teams, teams), pg_temp.row_id(n, people)
    FROM sizes, generate_series(1, people) n, generate_series(1, 2) k;
INSERT INTO oauth_clients (id, client_id, issuer, team_id, is_active)
    SELECT pg_temp.row_id(n, teams), 'client-' || n, 'https://issuer.example', pg_temp.row_id(n, teams), n % 10 > 0
    FROM sizes, generate_series(1, teams) n;

CREATE TEMP TABLE indexes AS
    SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition FROM pg_index
    WHERE indrelid IN ('runners'::regclass, 'jobs'::regclass, 'audit_log'::regclass, 'security_events'::regclass)
        AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid);
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT indexes.name FROM indexes LOOP EXECUTE 'DROP INDEX ' || name; END LOOP;
END $$;

INSERT INTO runners (id, installation, team_id, owner_user, name, status, github_runner_id, runner_group_id, labels,
        ephemeral, version, created_at, updated_at, registered_at, deleted_at)
    SELECT pg_temp.row_id(n, runners), 'default',
        pg_temp.row_id(1 + (teams * power(pg_temp.spread(n), 3))::bigint % teams, teams),
        pg_temp.row_id(1 + n * 7919 % people, people), 'ci-' || n,
        CASE WHEN n % 50 > 0 THEN 'deleted' WHEN n % 250 = 0 THEN 'offline' WHEN n % 500 = 50 THEN 'requested'
            WHEN n % 500 = 100 THEN 'pending' ELSE 'active' END,
        n, 1, ARRAY['self-hosted', 'linux', 'x64', 'large-' || n % 7], n % 100 > 0,
        '2.336.' || n / 50 % 20,
        pg_temp.row_time(n, runners), pg_temp.row_time(n, runners), pg_temp.row_time(n, runners),
        CASE WHEN n % 50 > 0 THEN pg_temp.row_time(n, runners) END
    FROM sizes, generate_series(1, runners) n;

INSERT INTO jobs (id, kind, installation, team_id, requester_user, runner_id, state, attempts, deadline_at, params,
        run_at, created_at, started_at, finished_at, updated_at, error)
    SELECT pg_temp.row_id(n, jobs), params ->> 'kind', 'default', pg_temp.row_id(1 + (teams * power(pg_temp.spread(runner), 3))::bigint % teams, teams),
        CASE WHEN n % 5 < 2 THEN pg_temp.row_id(1 + runner * 7919 % people, people) END, pg_temp.row_id(runner, runners),
        state, 1, made + interval '15 minutes', params, made, made, made,
        CASE WHEN state <> 'queued' THEN made END, made,
        CASE WHEN state = 'failed' THEN jsonb_build_object(
            'code', (ARRAY['github_refused', 'github_unavailable', 'runner_name_conflict'])[1 + n / 200 % 3],
            'detail', 'Reason ' || n / 200 % 20) END
    FROM sizes, generate_series(1, jobs) n,
        LATERAL (SELECT (n + 4) / 5 AS runner, pg_temp.row_time(n, jobs) AS made,
            (CASE n % 5 WHEN 0 THEN '{"kind": "provision", "name": {"prefix": "ci"}, "work_folder": "_work"}'
                WHEN 1 THEN '{"kind": "deprovision", "target": "runner"}'
                ELSE '{"kind": "drift_check", "source": "sync"}' END)::jsonb AS params,
            CASE WHEN n > jobs - 100 AND n % 5 = 0 THEN 'queued' WHEN n % 200 = 0 THEN 'failed'
                WHEN n % 1000 = 1 THEN 'cancelled' ELSE 'succeeded' END AS state) one;

INSERT INTO audit_log (id, event_type, user_id, user_identity, runner_id, runner_name, team_id, job_id, request_ip,
        user_agent, request_id, event_data, success, error_message, "timestamp")
    SELECT pg_temp.row_id(n, audit),
        (ARRAY['runner.provision', 'runner.credential', 'runner.active', 'runner.offline', 'runner.deleted',
            'job.succeeded', 'runner.provision', 'runner.refresh', 'runner.deprovision', 'job.succeeded'])[1 + n % 10],
        CASE WHEN n % 10 < 2 THEN pg_temp.row_id(person, people) END,
        CASE WHEN n % 10 < 2 THEN 'person-' || person || '@example.com' END,
        pg_temp.row_id(runner, runners), 'ci-' || runner,
        pg_temp.row_id(1 + (teams * power(pg_temp.spread(runner), 3))::bigint % teams, teams), pg_temp.row_id(n / 2, jobs),
        '192.0.2.7', 'curl/8.5.0', md5(n::text), jsonb_build_object('labels', ARRAY['self-hosted', 'linux'], 'nth', n),
        n % 1000 > 0, CASE WHEN n % 1000 = 0 THEN 'label_policy_violation' END, pg_temp.row_time(n, audit)
    FROM sizes, generate_series(1, audit) n,
        LATERAL (SELECT (n + 9) / 10 AS runner, 1 + (n + 9) / 10 * 7919 % people AS person) one;

INSERT INTO security_events (id, event_type, severity, user_identity, runner_id, runner_name, team_id, violation_data,
        action_taken, "timestamp")
    SELECT pg_temp.row_id(n, runners),
        (ARRAY['label_policy_violation', 'label_drift', 'unmanaged_runner', 'quota_exceeded'])[1 + n % 4],
        CASE WHEN n % 1000 = 0 THEN 'critical' WHEN n % 10 = 0 THEN 'high' WHEN n % 2 = 0 THEN 'medium' ELSE 'low' END,
        'person-' || 1 + n * 7919 % people || '@example.com', pg_temp.row_id(n, runners), 'ci-' || n,
        pg_temp.row_id(1 + (teams * power(pg_temp.spread(n), 3))::bigint % teams, teams),
        jsonb_build_object('nth', n), 'refused', pg_temp.row_time(n, runners)
    FROM sizes, generate_series(1, runners) n;

INSERT INTO runner_events (runner_id, from_status, to_status, source, at)
    SELECT pg_temp.row_id(n, runners), from_status, to_status, 'job', pg_temp.row_time(n, runners)
    FROM sizes, generate_series(runners - runners / 10, runners) n,
        (VALUES (NULL, 'requested'), ('requested', 'pending'), ('pending', 'active')) AS step (from_status, to_status);

-- The last 48 hours by minute and 90 days by hour, as the scheduler keeps them.
INSERT INTO flow (span, at, installation, kind, accepted, started, succeeded, failed, expired, cancelled, wait, run)
    SELECT span, at, 'default', kind, 40, 39, 37, 1, 0, 1, array_fill(3::bigint, ARRAY[13]), array_fill(3::bigint, ARRAY[13])
    FROM (SELECT 'minute' AS span, generate_series(date_trunc('minute', now() - interval '2 days'), now(), '1 minute') AS at
        UNION ALL SELECT 'hour', generate_series(date_trunc('hour', now() - interval '90 days'), now(), '1 hour')) spans,
        unnest(ARRAY['provision', 'deprovision', 'drift_check']) AS kind
    ON CONFLICT DO NOTHING;
INSERT INTO flow_teams (span, at, team_id, accepted, started, succeeded, failed, expired, cancelled)
    SELECT span, at, pg_temp.row_id(team, teams), 2, 2, 1, 1, 0, 0 FROM sizes,
        (SELECT DISTINCT span, at FROM flow) AS spans, generate_series(1, 50) team WHERE team <= teams
    ON CONFLICT DO NOTHING;
UPDATE flow_progress SET closed_until = date_trunc('minute', now());

DO $$ DECLARE definition text; BEGIN
    FOR definition IN SELECT indexes.definition FROM indexes LOOP EXECUTE definition; END LOOP;
END $$;
RESET session_replication_role;
ANALYZE;
