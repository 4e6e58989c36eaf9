-- A fleet whose list changes while it is read, and the end of every sync run.

ALTER TABLE runners
    -- Sync runs of any kind in a row that did not list the runner; `missed` counts complete ones alone.
    ADD COLUMN unlisted smallint NOT NULL DEFAULT 0;

ALTER TABLE sync_status
    -- The end of the last run of any kind; `last_sync_time` is that of the last complete one.
    ADD COLUMN last_run_time timestamptz;
