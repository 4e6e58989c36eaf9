//! Who works.

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

/// A worker as it said of itself.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Worker)]
pub(crate) struct WorkerView {
    /// Its name, unique per start.
    name: String,
    /// Its version.
    version: String,
    /// Jobs it may run at once.
    concurrency: i32,
    /// Jobs it runs.
    running: i32,
    /// When it started.
    started_at: DateTime<Utc>,
    /// When it last said so, to about ten seconds.
    heartbeat_at: DateTime<Utc>,
    /// Whether that was within the last 30 s.
    alive: bool,
}

/// The workers heard of in the last hour.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WorkerList {
    /// By name.
    workers: Vec<WorkerView>,
    /// How many.
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

/// List the workers heard of in the last hour.
///
/// For admins and viewers: their version, concurrency, running jobs and last heartbeat.
#[utoipa::path(
    get, path = "/admin/workers", tag = "admin",
    responses((status = 200, description = "By name", body = WorkerList), WorkerProblems),
)]
pub(crate) async fn list(State(app): State<AppState>, _: SeesAll) -> ApiResult<Json<WorkerList>> {
    let rows = app.store.conn().await?.workers().list().await?;
    let workers: Vec<WorkerView> = rows.into_iter().map(WorkerView::from).collect();
    Ok(Json(WorkerList { total: workers.len(), workers, next_cursor: None }))
}
