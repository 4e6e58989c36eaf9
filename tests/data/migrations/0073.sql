INSERT INTO users (id, email) VALUES ('00000000-0000-7000-8000-000000000001', 'ada@example.com');
-- afterwards
SELECT (SELECT count(*) = 1 FROM users) AND (SELECT count(*) = 0 FROM incidents) AND (SELECT count(*) = 0 FROM blocked_issuers)
