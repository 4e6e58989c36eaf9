INSERT INTO flow (span, at, installation, kind, accepted, started, succeeded, failed, expired, cancelled, wait, run)
VALUES ('minute', now(), 'default', 'provision', 1, 1, 1, 0, 0, 0, '{}', '{}');
-- afterwards
SELECT (SELECT count(*) = 1 FROM flow) AND (SELECT count(*) = 0 FROM queue_depths)
    AND (SELECT count(*) = 0 FROM scheduler_steps)
