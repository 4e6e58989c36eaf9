-- What is over is found by its age, to be removed; and a call whose outcome is open by being so, however many are settled.

CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX runners_deleted ON runners (deleted_at) WHERE status = 'deleted';
CREATE INDEX github_calls_open ON github_calls (job_id) WHERE state IN ('intent', 'effect_suspected');
