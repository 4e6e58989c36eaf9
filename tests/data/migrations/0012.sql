-- Entries from before any were counted up, and some of the minutes of a rollout in which they were.
INSERT INTO audit_log (id, event_type, success) SELECT gen_random_uuid(), 'jit.provision', true FROM generate_series(1, 3);
INSERT INTO audit_log (id, event_type, success, occurrences, repeat_key) VALUES (gen_random_uuid(), 'jit.refused', false, 7, 'a');
INSERT INTO security_events (id, event_type, severity, action_taken)
SELECT gen_random_uuid(), 'label_policy_violation', 'high', 'denied' FROM generate_series(1, 2);
-- afterwards
SELECT (SELECT count(*) = 4 AND sum(occurrences) = 10 FROM audit_log)
    AND (SELECT count(*) = 2 AND bool_and(occurrences = 1) FROM security_events)
    AND NOT EXISTS (SELECT FROM pg_index WHERE NOT indisvalid);
