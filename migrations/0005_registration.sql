-- Runners that register themselves, with a registration token.
ALTER TABLE jobs DROP CONSTRAINT jobs_kind_check;
ALTER TABLE jobs ADD CONSTRAINT jobs_kind_check
    CHECK (kind IN ('provision', 'register', 'deprovision', 'drift_check'));

-- GitHub has no id for such a runner until it has registered itself and a pass has seen it.
ALTER TABLE runners ADD COLUMN registers_itself boolean NOT NULL DEFAULT false;
CREATE INDEX runners_awaited ON runners (installation)
    WHERE registers_itself AND status = 'pending' AND github_runner_id IS NULL;
