//! `POST /runners/jit`: one transaction, one ticket, an answer within milliseconds.

use aws_lc_rs::digest;
use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{
    Admission, AuditEntry, Caller, Job, JobId, JobKind, JobParams, JobState, Origin, Problem, ProblemCode,
    ProvisionRequest, RunnerId, Team, TeamId,
};
use serde::Serialize;
use serde_json::json;
use store::{NewJob, NewRunner, Seen, StoreError, Tx};
use utoipa::ToSchema;
use uuid::Uuid;

use super::ask::ProvisionBody;
use crate::{
    app::App,
    body::Body,
    caller::Authorised,
    error::{ApiError, ApiResult},
    handout::{self, CredentialView},
    openapi::{self, problems},
    origin::From_,
    prefer::{IdempotencyKey, Prefer},
    queueing, refusal,
    routes::jobs::ended,
    waiting,
};

/// A provision request that was accepted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Accepted {
    /// The job to follow.
    job_id: Uuid,
    /// The runner it will make.
    runner_id: Option<Uuid>,
    /// The runner's name as it stands; settled once the job has succeeded.
    runner_name: Option<String>,
    /// Where the job stands.
    #[schema(schema_with = openapi::job_state)]
    state: JobState,
    /// Where to follow it.
    status_url: String,
}

problems! {
    ProvisionProblems: MalformedBody, JitNotAllowed, LabelPolicyViolation, RunnerGroupNotAllowed, QuotaExceeded,
        TeamForbidden, TeamInactive, RunnerNameConflict, PayloadTooLarge, UnsupportedMediaType, ValidationFailed,
        TeamRequired, IdempotencyMismatch, TeamBacklog, ServiceBacklog, JobCancelled, JobPoisoned, GithubRefused, GithubUnavailable, JobExpired;
}

/// Ask for a runner.
///
/// Answers at once with the job that will get the config, or waits for it when asked to by `Prefer: wait=N`.
/// With the same `Idempotency-Key` and body, the answer is the same job, however often it is sent.
#[utoipa::path(
    post, path = "/runners/jit", tag = "runners",
    request_body = ProvisionBody,
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible characters; kept for 7 days"),
        ("Prefer" = Option<String>, Header, description = "`wait=N` (0 to 25 s) or `respond-async`"),
    ),
    responses(
        (status = 201, description = "Done within the time to wait; this is the only time the config is shown unasked",
            body = CredentialView, headers(("Preference-Applied" = String), ("Cache-Control" = String))),
        (status = 202, description = "Accepted", body = Accepted,
            headers(("Location" = String, description = "The job"), ("Retry-After" = u64, description = "Seconds"))),
        ProvisionProblems,
    ),
)]
pub(crate) async fn provision(
    State(app): State<App>,
    Authorised(caller): Authorised,
    From_(origin): From_,
    (prefer, IdempotencyKey(key)): (Prefer, IdempotencyKey),
    Body(body): Body<ProvisionBody>,
) -> ApiResult<Response> {
    let (request, team) = body.check()?;
    let ask = Ask { caller: &caller, origin: &origin, key, hash: hash(&body)?, request, team };
    let (job, starts_in) = match ask.accept(&app).await {
        Ok(accepted) => accepted,
        Err(error) => return Err(ask.refused(&app, error).await),
    };
    if prefer.wait.is_zero() {
        return match starts_in {
            Some(seconds) => Ok(follow(job, seconds)),
            None => accepted(&app, job).await,
        };
    }
    let job = waiting::until_final(&app, job.id, prefer.wait).await?.unwrap_or(job);
    if let Some(problem) = ended(&job) {
        return Err(problem.into());
    }
    if job.state == JobState::Succeeded
        && let Some(credential) = handout::fetch(&app, &caller, &origin, &job).await?
    {
        return Ok(delivered(credential, prefer));
    }
    accepted(&app, job).await
}

fn hash(body: &ProvisionBody) -> ApiResult<Vec<u8>> {
    let text = serde_json::to_vec(body).map_err(|error| crate::error::internal(&error))?;
    Ok(digest::digest(&digest::SHA256, &text).as_ref().to_vec())
}

/// 202 with the job to follow.
pub(super) async fn accepted(app: &App, job: Job) -> ApiResult<Response> {
    let standing = queueing::standing(app, &job).await;
    let retry_after = queueing::retry_after(standing.as_ref());
    Ok(follow(job, retry_after))
}

fn follow(job: Job, retry_after: u64) -> Response {
    let status_url = format!("/api/v1/jobs/{}", job.id);
    let body = Accepted {
        job_id: job.id.uuid(),
        runner_id: job.runner.map(RunnerId::uuid),
        runner_name: job.runner_name,
        state: job.state,
        status_url: status_url.clone(),
    };
    let headers = [(header::LOCATION, status_url), (header::RETRY_AFTER, retry_after.to_string())];
    (StatusCode::ACCEPTED, headers, Json(body)).into_response()
}

fn delivered(credential: CredentialView, prefer: Prefer) -> Response {
    prefer.confirm((StatusCode::CREATED, handout::NO_STORE, Json(credential)).into_response())
}

/// One request, read and checked.
struct Ask<'r> {
    caller: &'r Caller,
    origin: &'r Origin,
    key: Option<String>,
    hash: Vec<u8>,
    request: ProvisionRequest,
    team: Option<TeamId>,
}

/// What is known of a request before it is recorded.
struct Plan {
    team: Team,
    /// Seconds until the job could start, or why it could not in time.
    starts_in: Result<u64, Problem>,
}

impl Ask<'_> {
    /// Commits the key, the quota, the runner, the job and the audit row together; then tells the queue. Answers the job,
    /// and for a new one the seconds until it is expected to start.
    async fn accept(&self, app: &App) -> ApiResult<(Job, Option<u64>)> {
        // Asked before the transaction, judged in it: a known key is answered whatever has changed since.
        let plan = self.plan(app).await;
        let id = JobId::new();
        let mut tx = app.store.begin().await?;
        if let Some(before) = self.take_key(&mut tx, id).await? {
            return Ok((before, None));
        }
        let Plan { team, starts_in } = plan?;
        let in_use = self.in_use(&mut tx, &team).await?;
        let admission = team.admit(&self.request, in_use, app.default_group)?;
        let starts_in = starts_in?;
        let job = self.record(&mut tx, id, &team, &admission).await?;
        tx.commit().await?;
        queueing::enqueue(app, &job, team.weight).await;
        Ok((job, Some(starts_in)))
    }

    /// Whose request it is, and when it could start.
    async fn plan(&self, app: &App) -> ApiResult<Plan> {
        if !self.caller.can_use_jit {
            return Err(Problem::new(
                ProblemCode::JitNotAllowed,
                "You may not have JIT configs; ask an admin.",
            )
            .into());
        }
        let team_id = self.caller.choose_team(self.team)?;
        let gone = || Problem::new(ProblemCode::TeamForbidden, "There is no such team.");
        let team = app.store.read().await?.teams().policy(team_id).await?.ok_or_else(gone)?;
        let starts_in = queueing::foresee(app, &team, JobKind::Provision).await;
        Ok(Plan { team, starts_in })
    }

    async fn take_key(&self, tx: &mut Tx, job: JobId) -> ApiResult<Option<Job>> {
        let Some(key) = &self.key else { return Ok(None) };
        match tx.idempotency().take(self.caller.requester, key, &self.hash, job).await? {
            Seen::New => Ok(None),
            Seen::Before(job) => Ok(tx.jobs().get(job).await?),
            Seen::Mismatch => Err(Problem::new(
                ProblemCode::IdempotencyMismatch,
                "This Idempotency-Key was used with another body; use a new one.",
            )
            .into()),
        }
    }

    /// The team's runners, counted where it matters, with everyone else who counts them waiting.
    async fn in_use(&self, tx: &mut Tx, team: &Team) -> ApiResult<i64> {
        if team.max_runners.is_none() {
            return Ok(0);
        }
        tx.teams().lock_quota(team.id).await?;
        Ok(tx.runners().count_live(team.id).await?)
    }

    async fn record(&self, tx: &mut Tx, id: JobId, team: &Team, admission: &Admission) -> ApiResult<Job> {
        let runner = NewRunner {
            id: RunnerId::new(),
            installation: team.installation.clone(),
            team: team.id,
            owner: self.caller.requester,
            name: self.request.name.name(id, 1),
            runner_group_id: admission.runner_group_id(),
            labels: admission.labels().to_vec(),
        };
        tx.runners().insert(&runner).await.map_err(name_taken)?;
        let job = NewJob {
            id,
            installation: team.installation.clone(),
            team: Some(team.id),
            requester: Some(self.caller.requester),
            runner: Some(runner.id),
            call: None,
            params: JobParams::Provision {
                name: self.request.name.clone(),
                work_folder: self.request.work_folder.clone(),
            },
            trace: self.origin.trace.clone(),
        };
        let job = tx.jobs().insert(&job).await?;
        let entry = AuditEntry {
            runner: Some(runner.id),
            runner_name: Some(runner.name.to_string()),
            team: Some(team.id),
            job: Some(id),
            data: json!({ "labels": admission.labels(), "runner_group_id": admission.runner_group_id() }),
            ..AuditEntry::by(self.caller, self.origin, "runner.provision")
        };
        tx.audit().write(&entry).await?;
        Ok(job)
    }

    /// Writes a refusal down: an audit row always, a security event where the policy was tried.
    async fn refused(&self, app: &App, error: ApiError) -> ApiError {
        let problem = &error.0;
        if !matches!(problem.code.status(), 403 | 409) {
            return error;
        }
        let entry = AuditEntry {
            team: self.team.or(match self.caller.teams.as_slice() {
                [only] => Some(only.id),
                _ => None,
            }),
            data: json!({
                "code": problem.code,
                "labels": self.request.labels,
                "runner_group_id": self.request.runner_group_id,
                "name": self.request.name,
            }),
            error: Some(problem.detail.clone()),
            ..AuditEntry::by(self.caller, self.origin, "runner.provision")
        };
        match refusal::note(app, &entry, problem).await {
            Ok(()) => error,
            Err(fault) => fault,
        }
    }
}

fn name_taken(error: StoreError) -> ApiError {
    if error.constraint() == Some("runners_name_key") {
        return Problem::new(
            ProblemCode::RunnerNameConflict,
            "A live runner bears this name; choose another, or give a prefix instead.",
        )
        .with_errors(vec![domain::FieldError::new("/runner_name", "taken")])
        .into();
    }
    error.into()
}
