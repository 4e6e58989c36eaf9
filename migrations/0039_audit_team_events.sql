-- no-transaction
-- Audit rows of one team, filtered and counted without reading the rows themselves. The first one replaces `audit_log_team`.
CREATE INDEX CONCURRENTLY IF NOT EXISTS audit_log_team_newest ON audit_log (team_id, id DESC)
    INCLUDE (success, "timestamp");
DROP INDEX CONCURRENTLY IF EXISTS audit_log_team;
-- Events of one type of one team: a large team has hundreds of thousands of others.
CREATE INDEX CONCURRENTLY IF NOT EXISTS audit_log_team_event ON audit_log (team_id, event_type, id DESC)
    INCLUDE (success, "timestamp");
