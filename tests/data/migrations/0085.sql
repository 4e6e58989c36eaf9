INSERT INTO audit_log (id, event_type, success) VALUES (gen_random_uuid(), 'team.create', true);
-- afterwards
SELECT (SELECT count(*) = 1 FROM audit_log) AND (SELECT count(*) = 0 FROM event_streams)
    AND (SELECT count(*) = 0 FROM event_deliveries)
