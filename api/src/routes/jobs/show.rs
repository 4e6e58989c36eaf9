//! List and details of jobs.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{Caller, Job, JobId, JobKind, JobState, Problem};
use queue::{QueuePosition, Reason};
use serde::Deserialize;
use store::{JobFilter, Visible};
use utoipa::IntoParams;

use super::{history::History, view::JobView};
use crate::{
    app::AppState,
    body::{Id, Params, filtered_team},
    caller::Authorised,
    error::ApiResult,
    filters::{begin_of_scan, history_search, list_period, named_requesters, named_runners},
    lists::{ListSource, Listing},
    openapi::problems,
    page::{list_body, list_params},
    prefer::parse_wait,
    queueing, waiting,
};

list_params! {
    /// Filters of the list of jobs.
    JobParams {
        /// Only in this state.
        state: JobState = String,
        /// Only of this kind.
        kind: JobKind = String,
        /// Only of this team, by id or name; also as `team_id`.
        #[serde(alias = "team_id")]
        team: String = String,
        /// Only requested by this identity (e-mail address, `issuer#subject`, client id or our id); also as
        /// `user_identity`.
        #[serde(alias = "user_identity")]
        user: String = String,
        /// Only ended with this problem code, for example `github_refused`.
        error: String = String,
        /// Only about the runner with this id, or about those whose names begin with this text, at most 100.
        runner: String = String,
        /// Only jobs that this worker started last. Without `since`, of the last 24 hours.
        worker: String = String,
        /// Only of this installation. Without `since`, of the last 24 hours.
        installation: String = String,
        /// Only about this: the beginning of a runner's name, of a person's e-mail address or name, or of a client id;
        /// a job's id; or the error code of failed jobs. 1 to 100 characters, in any case. Of runners, people and
        /// clients that the text names, the newest 50 of each are meant.
        q: String = String,
        /// Only accepted since this time (RFC 3339).
        since: DateTime<Utc> = String,
        /// Only accepted until this time (RFC 3339).
        until: DateTime<Utc> = String,
    }
}

list_body! {
    /// A page of jobs.
    JobList { jobs: JobView }
}

/// Wait for the final state.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WaitParams {
    /// Respond when the job is final, or after this many seconds (0 to 25).
    #[param(value_type = Option<u64>, maximum = 25)]
    pub(crate) wait: Option<String>,
}

problems! {
    ListProblems: ValidationFailed;
    ShowProblems: NotFound, ValidationFailed;
}

/// List jobs: your own and your teams'; all for admins and viewers.
///
/// Newest first.
#[utoipa::path(
    get, path = "/jobs", tag = "jobs", params(JobParams),
    responses((status = 200, description = "Newest first", body = JobList,
        headers(("X-Data-Age" = u64, description = "Age of the data in seconds, if a replica answered"))), ListProblems),
)]
pub(crate) async fn list(
    State(app): State<AppState>,
    source: ListSource,
    Authorised(caller): Authorised,
    Params(params): Params<JobParams>,
) -> ApiResult<Listing<JobList>> {
    let page = params.page()?;
    let scans = params.worker.is_some() || params.installation.is_some();
    let since = if scans { begin_of_scan(params.since, Utc::now()) } else { params.since };
    let period = list_period(since, params.until)?;
    let team = filtered_team(&app, params.team.as_deref()).await?;
    let mut lists = app.lists_from(source, &caller).await?;
    let filter = JobFilter {
        state: params.state,
        kind: params.kind,
        team,
        requesters: named_requesters(&mut lists, params.user.as_deref()).await?,
        error: params.error.clone(),
        runners: named_runners(&mut lists, params.runner.as_deref()).await?,
        worker: params.worker.clone(),
        installation: params.installation.clone(),
        search: history_search(&mut lists, params.q.as_deref()).await?,
        period,
    };
    let listed = lists.jobs().list(&Visible::to(&caller), &filter, page).await;
    lists.respond(listed, JobList::new)
}

/// Show a job, at once or when it is final.
///
/// The answer has the history of the job and its calls to GitHub. With `wait`, the response comes when the job is
/// final, or after that many seconds. `If-None-Match` with the last
/// `ETag` saves the body while nothing has changed.
#[utoipa::path(
    get, path = "/jobs/{job_id}", tag = "jobs", params(("job_id" = Uuid, Path), WaitParams),
    responses(
        (status = 200, description = "The job", body = JobView,
            headers(("ETag" = String), ("Retry-After" = u64, description = "Seconds; while the job is not final"))),
        (status = 304, description = "Unchanged since `If-None-Match`"),
        ShowProblems,
    ),
)]
pub(crate) async fn show(
    State(app): State<AppState>,
    Authorised(caller): Authorised,
    Id(id): Id<JobId>,
    Params(params): Params<WaitParams>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let wait = params.wait.as_deref().map(|text| parse_wait("query:wait", text)).transpose()?;
    let mut job = app.operations().visible_job(&caller, id).await?;
    if let Some(wait) = wait.filter(|wait| !wait.is_zero() && !job.state.is_final()) {
        job =
            waiting::until_final(&app, &caller, id, wait).await?.ok_or_else(|| Problem::not_found("job"))?;
    }
    let history = History::read(&app, &caller, &job).await?;
    let tag = format!("{}.{}\"", etag(&job).trim_end_matches('"'), history.outcomes());
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let position = queueing::position(&app, &job).await;
    let retry_after = (!job.state.is_final()).then(|| queueing::retry_after(position.as_ref()));
    let view = complete_view(job, position.as_ref(), history);
    let mut response = ([(header::ETAG, tag)], Json(view)).into_response();
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    Ok(response)
}

/// Returns the view of a job with its history.
fn complete_view(job: Job, position: Option<&QueuePosition>, history: History) -> JobView {
    JobView { events: Some(history.events), calls: Some(history.calls), ..job_view(job, position) }
}

/// Returns a job that the caller may see, and the view of it with its history.
pub(crate) async fn find_job(app: &AppState, caller: &Caller, id: JobId) -> ApiResult<(Job, JobView)> {
    let job = app.operations().visible_job(caller, id).await?;
    let history = History::read(app, caller, &job).await?;
    let position = queueing::position(app, &job).await;
    let view = complete_view(job.clone(), position.as_ref(), history);
    Ok((job, view))
}

/// Returns the view of a job. A queued job has the pause and the estimated start that the queue reports.
pub(crate) fn job_view(job: Job, position: Option<&QueuePosition>) -> JobView {
    let now = job.now;
    let mut view = JobView::from(job);
    let Some(position) = position else { return view };
    view.estimated_start_at =
        TimeDelta::from_std(position.starts_in).ok().and_then(|wait| now.checked_add_signed(wait));
    if let Some(pause) = position.pause {
        view.blocked_on = Some(match pause.reason {
            Reason::Budget | Reason::SecondaryLimit => domain::BlockedOn::Budget,
            Reason::GithubOutage => domain::BlockedOn::GithubOutage,
            Reason::Admin | Reason::Suspended | Reason::Refused => domain::BlockedOn::Paused,
        });
    }
    view
}

pub(super) fn etag(job: &Job) -> String {
    let Job { state, blocked_on, attempts, snoozes, rescues, fence, .. } = job;
    let waits = blocked_on.map_or("-", domain::BlockedOn::as_str);
    format!("\"{state}-{waits}-{attempts}.{snoozes}.{rescues}.{fence}\"")
}
