-- Who else counts on a job, what is told of a runner that is gone, and how far a long list of lost webhooks was read.

-- Callers beside the first who were answered with this job; of a job of the service's own, all of them.
ALTER TABLE jobs ADD COLUMN joined integer NOT NULL DEFAULT 0 CHECK (joined >= 0);

-- A webhook that comes late finds its runner although that is deleted.
CREATE INDEX runners_gone ON runners (installation, github_runner_id)
    WHERE status = 'deleted' AND github_runner_id IS NOT NULL;

-- What a workflow job did that it should not is told once, in whatever order its events come.
CREATE INDEX security_events_workflow ON security_events (runner_id, (violation_data ->> 'workflow_job_id'))
    WHERE violation_data ? 'workflow_job_id';

-- A reading of the failed deliveries that was cut short goes on here; its newest delivery counts once it is complete.
ALTER TABLE webhook_sweeps
    ADD COLUMN resume_from text,
    ADD COLUMN resume_newest timestamptz,
    ADD CONSTRAINT webhook_sweeps_resume_whole CHECK ((resume_from IS NULL) = (resume_newest IS NULL));
