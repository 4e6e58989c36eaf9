-- Batches may also retry and discard failed jobs. Every earlier row fits the narrower rule before, so no row is checked.
ALTER TABLE batches
    DROP CONSTRAINT batches_action_check,
    ADD CONSTRAINT batches_action_check CHECK (action IN
        ('disable_users', 'restore_users', 'delete_runners', 'deactivate_teams', 'reactivate_teams',
            'retry_jobs', 'discard_jobs')) NOT VALID;
