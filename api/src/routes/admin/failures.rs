//! Failed jobs by their cause, and decisions about them.

use axum::{Json, extract::State, http::StatusCode};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{JobId, Problem, ProblemCode};
use serde::{Deserialize, Serialize};
use store::FailureRow;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    app::AppState,
    body::{Body, Id, Params, filtered_team},
    caller::{Administers, SeesAll},
    error::ApiResult,
    lists::Listing,
    openapi::problems,
    routes::jobs::JobView,
};

/// Longest look back.
const MAX_AGE: TimeDelta = TimeDelta::days(30);
/// Look back by default.
pub(crate) const DEFAULT_AGE: TimeDelta = TimeDelta::hours(24);

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(retry)).routes(routes!(discard))
}

/// Filters of the failures.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FailureParams {
    /// Begin, at most 30 days ago; by default 24 hours ago.
    #[param(value_type = Option<String>)]
    pub(crate) since: Option<DateTime<Utc>>,
    /// Only of this team, by id or name; also as `team_id`.
    #[serde(alias = "team_id")]
    pub(crate) team: Option<String>,
}

/// Failed and expired jobs with one cause.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Failure {
    /// Problem code of the jobs.
    #[schema(example = "github_refused")]
    pub(crate) code: String,
    /// Explanation of the newest one.
    pub(crate) detail: Option<String>,
    /// What an operator does about it.
    pub(crate) what_to_do: &'static str,
    /// Number of jobs, counted up to 10,000.
    pub(crate) jobs: i64,
    /// Whether there may be more jobs.
    pub(crate) jobs_is_lower_bound: bool,
    /// Number of teams.
    pub(crate) teams: i64,
    /// Time of the first one.
    pub(crate) first_at: DateTime<Utc>,
    /// Time of the last one.
    pub(crate) last_at: DateTime<Utc>,
    /// The newest job.
    pub(crate) example_job_id: Uuid,
}

/// Failures by their cause.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FailureList {
    /// Causes, the one of the newest job first; at most 100.
    pub(crate) failures: Vec<Failure>,
    /// Number of causes.
    pub(crate) total: usize,
    /// Begin of the list.
    pub(crate) since: DateTime<Utc>,
    /// Always null: this list has one page.
    pub(crate) next_cursor: Option<String>,
}

/// Reason of a decision.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReasonBody {
    /// Reason, for the audit log, 1 to 500 characters.
    #[schema(min_length = 1, max_length = 500)]
    pub(crate) reason: Option<String>,
}

problems! {
    FailureProblems: AdminRequired, ValidationFailed;
    RetryProblems: MalformedBody, AdminRequired, NotFound, PayloadTooLarge, UnsupportedMediaType, ValidationFailed,
        JobNotRetryable, Inactive, TeamForbidden, JitNotAllowed, RegistrationTokenNotAllowed,
        RegistrationTokensDisabled, LabelPolicyViolation, RunnerGroupNotAllowed, QuotaExceeded, RunnerNameConflict,
        TeamBacklog, ServiceBacklog, GithubUnavailable;
    DiscardProblems: MalformedBody, AdminRequired, NotFound, PayloadTooLarge, UnsupportedMediaType,
        ValidationFailed, JobNotRetryable;
}

impl From<FailureRow> for Failure {
    fn from(row: FailureRow) -> Self {
        let known = ProblemCode::ALL.iter().find(|code| code.as_str() == row.code);
        Self {
            what_to_do: known.map_or("", |code| code.remedy()),
            jobs_is_lower_bound: row.is_lower_bound(),
            code: row.code,
            detail: row.detail,
            jobs: row.jobs,
            teams: row.teams,
            first_at: row.first_at,
            last_at: row.last_at,
            example_job_id: row.example,
        }
    }
}

/// List the causes of failed and expired jobs, each with an example and what to do.
///
/// For admins and viewers. Jobs that an admin retried or discarded are left out.
#[utoipa::path(
    get, path = "/admin/failures", tag = "admin", params(FailureParams),
    responses((status = 200, description = "The cause of the newest job first", body = FailureList), FailureProblems),
)]
pub(crate) async fn list(
    State(app): State<AppState>,
    SeesAll(caller): SeesAll,
    Params(params): Params<FailureParams>,
) -> ApiResult<Listing<FailureList>> {
    let now = Utc::now();
    let since = params.since.unwrap_or(now - DEFAULT_AGE);
    // A minute more: the caller's clock may differ.
    if now - since > MAX_AGE + TimeDelta::minutes(1) {
        return Err(Problem::field("query:since", "at most 30 days ago").into());
    }
    let team = filtered_team(&app, params.team.as_deref()).await?;
    let mut lists = app.lists(&caller).await?;
    let read = lists.jobs().failures(since, team).await;
    lists.respond(read, |rows| {
        let failures: Vec<Failure> = rows.into_iter().map(Failure::from).collect();
        FailureList { total: failures.len(), failures, since, next_cursor: None }
    })
}

/// Ask again for the runner of a failed or expired job, for its requester.
///
/// For admins. A new job with a new name is accepted as if its requester had asked: access, policy and quota are checked
/// anew, and only the requester gets the config. A job can be retried once. An empty body or `null` gives no reason.
#[utoipa::path(
    post, path = "/admin/jobs/{job_id}/retry", tag = "admin", request_body = Option<ReasonBody>,
    params(("job_id" = uuid::Uuid, Path)),
    responses((status = 202, description = "The new job", body = JobView), RetryProblems),
)]
pub(crate) async fn retry(
    State(app): State<AppState>,
    Administers(admin): Administers,
    Id(id): Id<JobId>,
    body: Option<Body<ReasonBody>>,
) -> ApiResult<(StatusCode, Json<JobView>)> {
    let reason = body.and_then(|Body(body)| body.reason);
    let rules = app.provision_rules();
    let job = app.operations().retry_job(&rules, &admin, id, reason.as_deref()).await?;
    Ok((StatusCode::ACCEPTED, Json(job.into())))
}

/// Discard a failed or expired job: it leaves the list of failures and stays in the history.
///
/// For admins. An empty body or `null` gives no reason.
#[utoipa::path(
    post, path = "/admin/jobs/{job_id}/discard", tag = "admin", request_body = Option<ReasonBody>,
    params(("job_id" = uuid::Uuid, Path)),
    responses((status = 200, description = "The job", body = JobView), DiscardProblems),
)]
pub(crate) async fn discard(
    State(app): State<AppState>,
    Administers(admin): Administers,
    Id(id): Id<JobId>,
    body: Option<Body<ReasonBody>>,
) -> ApiResult<Json<JobView>> {
    let reason = body.and_then(|Body(body)| body.reason);
    let job = app.operations().discard_job(&admin, id, reason.as_deref()).await?;
    Ok(Json(job.into()))
}
