-- Failed jobs that an admin has dealt with: discarded, or asked for again as another job.
ALTER TABLE jobs
    ADD COLUMN dismissed_at timestamptz,
    ADD COLUMN dismissed_by text,
    ADD COLUMN retried_as uuid;
