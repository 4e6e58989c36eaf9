-- Removing with more care.

-- An admin's word: how many runners it was given for, and when. It takes the place of `removals_confirmed`, which had
-- neither a bound nor an end, and which nothing reads any more.
ALTER TABLE sync_status
    ADD COLUMN removals_allowed integer NOT NULL DEFAULT 0,
    ADD COLUMN removals_allowed_at timestamptz;

ALTER TABLE runners
    -- It registered itself against the policy, and is to go.
    ADD COLUMN refused boolean NOT NULL DEFAULT false,
    -- By what name `config.sh` knows its group; none: the default one.
    ADD COLUMN runner_group_name text;
CREATE INDEX runners_refused ON runners (installation) WHERE refused AND status <> 'deleted';

-- A webhook moved those that registered themselves before a pass had found them: they are awaited again.
WITH stuck AS (
    SELECT id, status FROM runners
    WHERE registers_itself AND github_runner_id IS NULL AND status IN ('active', 'offline') FOR UPDATE
), back AS (
    UPDATE runners SET status = 'pending', busy = false, offline_since = NULL, updated_at = now()
    FROM stuck WHERE runners.id = stuck.id RETURNING runners.id, stuck.status AS was
)
INSERT INTO runner_events (runner_id, from_status, to_status, source, detail)
SELECT id, was, 'pending', 'sync', 'it is awaited again' FROM back;
