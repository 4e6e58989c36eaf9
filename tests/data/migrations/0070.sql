INSERT INTO audit_log (id, event_type, success) SELECT gen_random_uuid(), 'jit.provision', true FROM generate_series(1, 3);
INSERT INTO security_events (id, event_type, severity, action_taken) VALUES (gen_random_uuid(), 'quota_exceeded', 'low', 'refused');
-- afterwards
SELECT (SELECT count(*) = 3 AND bool_and(transaction_id = '0') FROM audit_log)
    AND (SELECT count(*) = 1 AND bool_and(transaction_id = '0') FROM security_events)
    AND (SELECT count(*) = 0 FROM audit_blocks)
