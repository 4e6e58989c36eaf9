//! List of workers, and draining of one.

use axum::{Json, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use store::{CurrentJob, WorkerRow};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    app::AppState,
    body::{Body, Id},
    caller::{Administers, SeesAll},
    error::ApiResult,
    openapi::problems,
};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(drain))
}

/// A job that a worker runs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CurrentJobView {
    /// Id of the job.
    pub(crate) job_id: Uuid,
    /// Kind of the job.
    #[schema(example = "provision")]
    pub(crate) kind: String,
    /// Time of its start.
    pub(crate) since: DateTime<Utc>,
}

/// A worker, as of its last heartbeat.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Worker)]
pub(crate) struct WorkerView {
    /// Name, unique per start.
    pub(crate) name: String,
    /// Version of the worker.
    pub(crate) version: String,
    /// Name of the machine; null if the worker does not say.
    pub(crate) host: Option<String>,
    /// Number of jobs it may run at once.
    pub(crate) concurrency: i32,
    /// Number of jobs it runs.
    pub(crate) running: i32,
    /// Lanes it takes jobs of; null if its version does not say.
    pub(crate) lanes: Option<Vec<String>>,
    /// Installations it has a credential for; null if its version does not say.
    pub(crate) installations: Option<Vec<String>>,
    /// Whether an admin asked it to take no more jobs.
    pub(crate) draining: bool,
    /// Identity of that admin.
    pub(crate) drain_requested_by: Option<String>,
    /// Time of that request.
    pub(crate) drain_requested_at: Option<DateTime<Utc>>,
    /// Reason that admin gave.
    pub(crate) drain_reason: Option<String>,
    /// Jobs it runs, as their rows say.
    pub(crate) jobs: Vec<CurrentJobView>,
    /// Time of its start.
    pub(crate) started_at: DateTime<Utc>,
    /// Last heartbeat, precise to about ten seconds.
    pub(crate) heartbeat_at: DateTime<Utc>,
    /// Whether the last heartbeat is at most 30 s old.
    pub(crate) alive: bool,
}

/// Workers seen in the last hour.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WorkerList {
    /// Workers, by name.
    pub(crate) workers: Vec<WorkerView>,
    /// Number of workers.
    pub(crate) total: usize,
    /// Always null: this list has one page.
    pub(crate) next_cursor: Option<String>,
}

impl WorkerView {
    fn new(row: WorkerRow, current: &[CurrentJob]) -> Self {
        let own = current.iter().filter(|job| job.worker == row.name);
        let jobs = own
            .map(|job| CurrentJobView { job_id: job.job.uuid(), kind: job.kind.clone(), since: job.since })
            .collect();
        Self {
            jobs,
            name: row.name,
            version: row.version,
            host: row.host,
            concurrency: row.concurrency,
            running: row.running,
            lanes: row.lanes,
            installations: row.installations,
            draining: row.drain_requested_at.is_some(),
            drain_requested_by: row.drain_requested_by,
            drain_requested_at: row.drain_requested_at,
            drain_reason: row.drain_reason,
            started_at: row.started_at,
            heartbeat_at: row.heartbeat_at,
            alive: row.alive,
        }
    }
}

/// Reason of a drain.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DrainBody {
    /// Reason, for the audit log and for everybody who sees the worker, 1 to 500 characters.
    #[schema(min_length = 1, max_length = 500)]
    pub(crate) reason: Option<String>,
}

problems! {
    WorkerProblems: AdminRequired;
    DrainProblems: MalformedBody, AdminRequired, NotFound, PayloadTooLarge, UnsupportedMediaType, ValidationFailed;
}

/// List the workers seen in the last hour.
///
/// For admins and viewers, with version, machine, lanes, installations, running jobs and last heartbeat.
#[utoipa::path(
    get, path = "/admin/workers", tag = "admin",
    responses((status = 200, description = "By name", body = WorkerList), WorkerProblems),
)]
pub(crate) async fn list(State(app): State<AppState>, _: SeesAll) -> ApiResult<Json<WorkerList>> {
    let mut conn = app.store.conn().await?;
    let rows = conn.workers().list().await?;
    let current = conn.workers().current_jobs().await?;
    let workers: Vec<WorkerView> = rows.into_iter().map(|row| WorkerView::new(row, &current)).collect();
    Ok(Json(WorkerList { total: workers.len(), workers, next_cursor: None }))
}

/// Drain a worker: it ends its jobs and takes no more.
///
/// For admins. The worker reads this within about ten seconds. Its process stays up; after a restart it takes jobs again.
/// An empty body or `null` gives no reason.
#[utoipa::path(
    post, path = "/admin/workers/{name}/drain", tag = "admin", request_body = Option<DrainBody>,
    params(("name" = String, Path, description = "A worker that is alive")),
    responses((status = 202, description = "The worker will take no more jobs"), DrainProblems),
)]
pub(crate) async fn drain(
    State(app): State<AppState>,
    Administers(admin): Administers,
    Id(name): Id<String>,
    body: Option<Body<DrainBody>>,
) -> ApiResult<StatusCode> {
    let reason = body.and_then(|Body(body)| body.reason);
    app.operations().drain_worker(&admin, &name, reason.as_deref()).await?;
    Ok(StatusCode::ACCEPTED)
}
