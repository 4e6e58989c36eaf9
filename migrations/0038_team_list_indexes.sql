-- no-transaction
-- Lists of one team, filtered and counted without reading the rows themselves. Each replaces an index without the columns
-- that the lists need.
CREATE INDEX CONCURRENTLY IF NOT EXISTS jobs_team_newest ON jobs (team_id, id DESC) INCLUDE (state, kind);
DROP INDEX CONCURRENTLY IF EXISTS jobs_team;
CREATE INDEX CONCURRENTLY IF NOT EXISTS runners_team_newest ON runners (team_id, id DESC) INCLUDE (status);
DROP INDEX CONCURRENTLY IF EXISTS runners_team;
CREATE INDEX CONCURRENTLY IF NOT EXISTS runners_live_of_team ON runners (team_id, id DESC) INCLUDE (status)
    WHERE status <> 'deleted';
DROP INDEX CONCURRENTLY IF EXISTS runners_team_live;
-- Almost every job of a team has succeeded: those that have not are found by their state.
CREATE INDEX CONCURRENTLY IF NOT EXISTS jobs_team_state ON jobs (team_id, state, id DESC) WHERE state <> 'succeeded';
-- Runners that are not deleted, newest first, wherever they are among millions of deleted ones.
CREATE INDEX CONCURRENTLY IF NOT EXISTS runners_live ON runners (id DESC) INCLUDE (status) WHERE status <> 'deleted';
