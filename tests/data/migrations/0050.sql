-- A worker of an earlier version, and security events that no admin could acknowledge.
INSERT INTO workers (name, version, concurrency, running) VALUES ('old', '0.3.0', 8, 2);
INSERT INTO security_events (id, event_type, severity, action_taken)
SELECT gen_random_uuid(), 'credential_denied', severity, 'refused' FROM unnest(ARRAY['low', 'high', 'critical']) severity;
-- afterwards
SELECT (SELECT installations IS NULL AND lanes IS NULL AND drain_requested_at IS NULL FROM workers)
    AND (SELECT count(*) = 3 AND bool_and(acknowledged_at IS NULL) FROM security_events)
    AND (SELECT refused_at IS NULL FROM installations) AND NOT EXISTS (SELECT FROM pauses);
