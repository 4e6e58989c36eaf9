-- An invitation of a year ago, and a person who is bound.
INSERT INTO users (id, email, created_at) VALUES (gen_random_uuid(), 'ada@example.com', now() - interval '1 year');
INSERT INTO users (id, email, issuer, subject) VALUES (gen_random_uuid(), 'bob@example.com', 'https://idp', 'bob');
-- afterwards
SELECT (SELECT invited_at > now() - interval '1 hour' FROM users WHERE email = 'ada@example.com')
    AND (SELECT invited_at IS NULL FROM users WHERE email = 'bob@example.com')
    AND (SELECT bool_and(NOT is_viewer) FROM users);
