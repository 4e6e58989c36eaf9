-- The key of the last checkpoint that the scheduler could not verify, and the newest block of that checkpoint.
ALTER TABLE audit_checkpoints
    ADD COLUMN missing_key_id text,
    ADD COLUMN missing_position bigint,
    ADD CONSTRAINT audit_checkpoints_missing CHECK ((missing_key_id IS NULL) = (missing_position IS NULL));
