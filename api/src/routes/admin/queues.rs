//! Depth of the queue, and its pauses.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use domain::{InstallationId, Lane, PauseScope, whole_seconds};
use queue::{LaneStats, Pause, Paused, Reason};
use serde::Serialize;
use store::PauseRow;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::AppState,
    caller::SeesAll,
    error::ApiResult,
    openapi::{self, problems},
};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(show))
}

/// One lane of one installation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LaneDepth)]
pub(crate) struct LaneView {
    /// The installation.
    pub(crate) installation: String,
    /// The lane.
    #[schema(schema_with = openapi::lane)]
    pub(crate) lane: Lane,
    /// Jobs that may start now.
    pub(crate) waiting: u64,
    /// Jobs that may not start yet.
    pub(crate) delayed: u64,
    /// Jobs claimed by workers.
    pub(crate) running: u64,
    /// Age of the oldest waiting job, in seconds.
    pub(crate) oldest_age_seconds: f64,
}

/// A pause of jobs.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Pause)]
pub(crate) struct PauseView {
    /// The installation, if all its lanes are paused.
    pub(crate) installation: Option<String>,
    /// The lane, if it is paused for all installations.
    pub(crate) lane: Option<String>,
    /// `budget`, `github_outage`, `secondary_limit`, `admin`, `suspended` (by GitHub) or `refused` (GitHub refuses one
    /// App of a pool).
    pub(crate) reason: &'static str,
    /// Remaining seconds.
    pub(crate) seconds_left: u64,
    /// End of the pause, if an admin paused it.
    pub(crate) ends_at: Option<DateTime<Utc>>,
    /// Identity of the admin who paused it.
    pub(crate) paused_by: Option<String>,
    /// Time at which the admin paused it.
    pub(crate) paused_at: Option<DateTime<Utc>>,
    /// Reason that the admin gave.
    pub(crate) admin_reason: Option<String>,
}

/// State of the queue.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Queues {
    /// Every lane of every installation, configured installations first.
    pub(crate) lanes: Vec<LaneView>,
    /// Current pauses.
    pub(crate) pauses: Vec<PauseView>,
}

problems! { ShowProblems: AdminRequired, QueueUnavailable; }

impl From<LaneStats> for LaneView {
    fn from(stats: LaneStats) -> Self {
        Self {
            installation: stats.installation.to_string(),
            lane: stats.lane,
            waiting: stats.waiting,
            delayed: stats.delayed,
            running: stats.running,
            oldest_age_seconds: stats.oldest_age.as_secs_f64(),
        }
    }
}

impl PauseView {
    /// Returns the view of a pause. The row of an admin's pause is among `rows`.
    fn new(paused: Paused, rows: &[PauseRow]) -> Self {
        let admin = paused.pause.reason == Reason::Admin;
        let row = rows.iter().find(|row| admin && row.scope == paused.scope);
        let (installation, lane) = match paused.scope {
            PauseScope::Installation(installation) => (Some(installation.to_string()), None),
            PauseScope::Lane(lane) => (None, Some(lane.to_string())),
        };
        Self {
            installation,
            lane,
            reason: paused.pause.reason.as_str(),
            seconds_left: whole_seconds(paused.pause.left),
            ends_at: row.map(|row| row.ends_at),
            paused_by: row.map(|row| row.by.clone()),
            paused_at: row.map(|row| row.paused_at),
            admin_reason: row.and_then(|row| row.reason.clone()),
        }
    }

    /// Returns the view of a pause of all lanes of one installation.
    pub(super) fn of_installation(installation: &InstallationId, pause: Pause, rows: &[PauseRow]) -> Self {
        Self::new(Paused { scope: PauseScope::Installation(installation.clone()), pause }, rows)
    }
}

/// Returns the rows of the queue, and empty rows for lanes of configured installations without jobs.
fn all_lanes<'i>(
    configured: impl Iterator<Item = &'i InstallationId>,
    held: Vec<LaneStats>,
) -> Vec<LaneView> {
    let mut rows: BTreeMap<InstallationId, Vec<LaneStats>> = BTreeMap::new();
    for stats in held {
        rows.entry(stats.installation.clone()).or_default().push(stats);
    }
    let configured: Vec<_> = configured.cloned().collect();
    let idle = configured.iter().map(|name| {
        let found = rows.remove(name);
        found.unwrap_or_else(|| Lane::ALL.iter().map(|lane| LaneStats::empty(name.clone(), *lane)).collect())
    });
    let mut lanes: Vec<LaneStats> = idle.flatten().collect();
    lanes.extend(rows.into_values().flatten());
    lanes.into_iter().map(LaneView::from).collect()
}

/// Returns the current depths and pauses.
pub(crate) async fn queue_status(app: &AppState) -> ApiResult<Json<Queues>> {
    let stats = app.queue.stats().await?;
    let pauses = app.queue.pauses().await?;
    let rows = app.store.conn().await?.pauses().list().await?;
    Ok(Json(Queues {
        lanes: all_lanes(app.installations.keys(), stats.lanes),
        pauses: pauses.into_iter().map(|paused| PauseView::new(paused, &rows)).collect(),
    }))
}

/// Show the depth of each lane and the current pauses.
///
/// For admins and viewers. The list includes lanes without jobs. A pause by an admin has its author, reason and end.
#[utoipa::path(
    get, path = "/admin/queues", tag = "admin",
    responses((status = 200, description = "The queue", body = Queues), ShowProblems),
)]
pub(crate) async fn show(State(app): State<AppState>, _: SeesAll) -> ApiResult<Json<Queues>> {
    queue_status(&app).await
}
