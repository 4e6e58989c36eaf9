//! List of workers.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use serde::Serialize;
use store::WorkerRow;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{app::AppState, caller::SeesAll, error::ApiResult, openapi::problems};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// A worker, as of its last heartbeat.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Worker)]
pub(crate) struct WorkerView {
    /// Name, unique per start.
    name: String,
    /// Version of the worker.
    version: String,
    /// Number of jobs it may run at once.
    concurrency: i32,
    /// Number of jobs it runs.
    running: i32,
    /// Time of its start.
    started_at: DateTime<Utc>,
    /// Last heartbeat, precise to about ten seconds.
    heartbeat_at: DateTime<Utc>,
    /// Whether the last heartbeat is at most 30 s old.
    alive: bool,
}

/// Workers seen in the last hour.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WorkerList {
    /// Workers, by name.
    workers: Vec<WorkerView>,
    /// Number of workers.
    total: usize,
    /// Always null: this list has one page.
    next_cursor: Option<String>,
}

impl From<WorkerRow> for WorkerView {
    fn from(row: WorkerRow) -> Self {
        Self {
            name: row.name,
            version: row.version,
            concurrency: row.concurrency,
            running: row.running,
            started_at: row.started_at,
            heartbeat_at: row.heartbeat_at,
            alive: row.alive,
        }
    }
}

problems! { WorkerProblems: AdminRequired; }

/// List the workers seen in the last hour.
///
/// For admins and viewers, with version, concurrency, running jobs and last heartbeat.
#[utoipa::path(
    get, path = "/admin/workers", tag = "admin",
    responses((status = 200, description = "By name", body = WorkerList), WorkerProblems),
)]
pub(crate) async fn list(State(app): State<AppState>, _: SeesAll) -> ApiResult<Json<WorkerList>> {
    let rows = app.store.conn().await?.workers().list().await?;
    let workers: Vec<WorkerView> = rows.into_iter().map(WorkerView::from).collect();
    Ok(Json(WorkerList { total: workers.len(), workers, next_cursor: None }))
}
