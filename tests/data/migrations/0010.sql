-- Open jobs, a reading of the deliveries under way, and events with and without a workflow job.
INSERT INTO jobs (id, kind, installation, deadline_at, params)
SELECT gen_random_uuid(), 'drift_check', 'default', now(), '{"kind": "drift_check", "source": "refresh"}'
FROM generate_series(1, 3);
INSERT INTO webhook_sweeps (installation, checked_until) VALUES ('default', '2025-01-02T03:04:05Z');
INSERT INTO security_events (id, event_type, severity, action_taken, violation_data)
VALUES (gen_random_uuid(), 'label_drift', 'high', 'deleted', '{"workflow_job_id": 7}'),
    (gen_random_uuid(), 'label_drift', 'high', 'deleted', '{}'), (gen_random_uuid(), 'label_drift', 'low', 'none', NULL);
-- afterwards
SELECT (SELECT count(*) = 3 AND bool_and(joined = 0) FROM jobs) AND (SELECT count(*) = 3 FROM security_events)
    AND (SELECT resume_from IS NULL AND checked_until = '2025-01-02T03:04:05Z' FROM webhook_sweeps);
