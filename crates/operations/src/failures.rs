//! Decisions about failed jobs: to ask for the runner again, or to discard the failure.

use domain::{
    Admission, AuditEntry, Job, JobId, JobKind, JobParams, Problem, ProblemCode, ProvisionRequest,
    RequestedName, Runner, RunnerId, Team,
};
use serde_json::{Value, json};
use store::{NewJob, NewRunner, Tx};

use crate::{
    Administrator, OperationError, Operations, ProvisionRules, Result, queueing,
    record::{comment, extend},
    runners::{RequestRows, check_quota},
    validate::check_reason,
};

/// Event type of the audit rows of retries.
const RETRY_EVENT_TYPE: &str = "job.retry";

impl Operations<'_> {
    /// Asks again for the runner of a failed or expired job, for its requester: a new job with a new name (unless the
    /// caller chose the name), whose rights, policy and quota are checked anew. The failed job counts as dealt with. A
    /// refusal is recorded.
    ///
    /// # Errors
    /// `not_found`; `job_not_retryable` if the job is not failed, makes no runner or was dealt with before; refusals by
    /// access, policy, quota, name or backlog; database errors. Nothing is written then.
    pub async fn retry_job(
        &self,
        rules: &ProvisionRules<'_>,
        admin: &Administrator,
        id: JobId,
        reason: Option<&str>,
    ) -> Result<Job> {
        check_reason("/reason", reason)?;
        let job = self.store.conn().await?.jobs().get(id).await?.ok_or_else(|| Problem::not_found("job"))?;
        let mut details = json!({ "job": id });
        extend(&mut details, comment(reason));
        let retried = self.retry(rules, admin, &job, &details).await;
        self.record_refused(admin.record(RETRY_EVENT_TYPE, job.team, details).about_job(&job), retried).await
    }

    async fn retry(
        &self,
        rules: &ProvisionRules<'_>,
        admin: &Administrator,
        job: &Job,
        details: &Value,
    ) -> Result<Job> {
        let again = self.read_again(job).await?;
        if job.kind == JobKind::Register && !rules.registration_tokens {
            let detail = "Registration tokens are disabled here; request a JIT config instead.";
            return Err(Problem::new(ProblemCode::RegistrationTokensDisabled, detail).into());
        }
        let default_group = rules.default_group(&again.team.installation)?;
        let admission = again.team.admit(&again.request, 0, default_group)?;
        queueing::estimate_start(self.queue, &again.team, job.kind).await?;

        let mut tx = self.store.begin_briefly().await?;
        let new = JobId::new();
        if tx.jobs().dismiss(job.id, admin.shown_name(), Some(new)).await?.is_none() {
            return Err(not_retryable(&mut tx, job).await?.into());
        }
        check_quota(&mut tx, &again.team).await?;
        let mut details = details.clone();
        extend(&mut details, json!({ "retried_as": new }));
        let entry = admin.record(RETRY_EVENT_TYPE, job.team, details);
        let made = again.rows(new, job, &admission, entry).insert(tx.jobs()).await?;
        tx.commit().await?;
        queueing::enqueue(self.queue, &made, again.team.weight).await;
        Ok(made)
    }

    /// Marks a failed or expired job as dealt with. It stays in the history. A refusal is recorded.
    ///
    /// # Errors
    /// `not_found`; `job_not_retryable` if the job is not failed or was dealt with before; database errors.
    pub async fn discard_job(&self, admin: &Administrator, id: JobId, reason: Option<&str>) -> Result<Job> {
        check_reason("/reason", reason)?;
        let job = self.store.conn().await?.jobs().get(id).await?.ok_or_else(|| Problem::not_found("job"))?;
        let entry = admin.record("job.discard", job.team, comment(reason)).about_job(&job);
        let discarded = self.discard(admin, &job, &entry).await;
        self.record_refused(entry, discarded).await
    }

    async fn discard(&self, admin: &Administrator, job: &Job, entry: &AuditEntry) -> Result<Job> {
        let mut tx = self.store.begin().await?;
        let Some(discarded) = tx.jobs().dismiss(job.id, admin.shown_name(), None).await? else {
            return Err(not_retryable(&mut tx, job).await?.into());
        };
        tx.audit().write(entry).await?;
        tx.commit().await?;
        Ok(discarded)
    }

    /// Reads what is needed to ask for a runner again, and checks the requester's access.
    async fn read_again(&self, job: &Job) -> Result<Again> {
        if !job.kind.makes_runner() {
            let detail =
                format!("A {} job makes no runner; ask for the removal or the check again.", job.kind);
            return Err(Problem::new(ProblemCode::JobNotRetryable, detail).into());
        }
        let mut conn = self.store.conn().await?;
        let gone =
            || Problem::new(ProblemCode::JobNotRetryable, "The job has no team or no runner any more.");
        let (Some(team), Some(runner), Some(requester)) = (job.team, job.runner, job.requester) else {
            return Err(gone().into());
        };
        let runner = conn.runners().get(runner).await?.ok_or_else(gone)?;
        let access = conn.permissions().access(requester, team).await?;
        access.ok_or_else(Problem::requester_inactive)?.check(job.kind)?;
        let request = request(job, &runner).ok_or_else(gone)?;
        let team = conn.teams().policy_on(team, &request.labels).await?.ok_or_else(gone)?;
        Ok(Again { team, runner, request })
    }
}

/// A request that is made again.
struct Again {
    team: Team,
    runner: Runner,
    request: ProvisionRequest,
}

impl Again {
    /// Returns the rows of the runner and its job, for the requester of the failed one.
    fn rows(&self, id: JobId, job: &Job, admission: &Admission, entry: AuditEntry) -> RequestRows {
        let runner = NewRunner {
            id: RunnerId::new(),
            installation: self.team.installation.clone(),
            team: self.team.id,
            owner: self.runner.provisioned_by,
            name: self.request.name.name(id, 1),
            runner_group_id: admission.runner_group_id(),
            labels: admission.labels().to_vec(),
            ephemeral: self.runner.ephemeral,
            registers_itself: self.runner.registers_itself,
            stated_version: self.request.runner_version.clone(),
        };
        let draft = NewJob {
            id,
            installation: self.team.installation.clone(),
            team: Some(self.team.id),
            requester: job.requester,
            runner: Some(runner.id),
            call: None,
            params: job.params.clone(),
            trace: None,
        };
        RequestRows::new(runner, draft, job.asked_by.clone(), entry)
    }
}

/// Returns the request as the rows keep it. The labels are those of the runner, the team's own included.
fn request(job: &Job, runner: &Runner) -> Option<ProvisionRequest> {
    let (name, work_folder) = match &job.params {
        JobParams::Provision { name, work_folder } | JobParams::SealedProvision { name, work_folder, .. } => {
            (name.clone(), work_folder.clone())
        }
        JobParams::Register => (RequestedName::Exact(runner.name.parse().ok()?), String::new()),
        JobParams::Deprovision(_) | JobParams::DriftCheck { .. } => return None,
    };
    Some(ProvisionRequest {
        name,
        labels: runner.labels.clone(),
        runner_group_id: Some(runner.runner_group_id),
        work_folder,
        runner_version: runner.stated_version.as_deref().and_then(|version| version.parse().ok()),
    })
}

/// Returns why a job cannot be retried or discarded.
async fn not_retryable(tx: &mut Tx, job: &Job) -> std::result::Result<Problem, OperationError> {
    let detail = match tx.jobs().dismissal(job.id).await? {
        Some(store::Dismissal { by, retried_as: Some(new) }) => {
            format!("{by} has asked for it again already, as job {new}.")
        }
        Some(store::Dismissal { by, retried_as: None }) => format!("{by} has discarded it already."),
        None => format!("The job is {}; only a failed or expired job is retried or discarded.", job.state),
    };
    Ok(Problem::new(ProblemCode::JobNotRetryable, detail))
}
