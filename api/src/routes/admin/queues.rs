//! Depth of the queue, and pauses of lanes.

use std::{collections::BTreeMap, time::Duration};

use axum::{Json, extract::State};
use domain::{AuditEntry, FieldError, InstallationId, Lane, Problem, whole_seconds};
use queue::{LaneStats, Pause, Paused, Scope};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::AppState,
    body::{Body, Id},
    caller::{Admin, SeesAll},
    error::ApiResult,
    openapi::{self, problems},
    origin::RequestOrigin,
};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(show)).routes(routes!(pause)).routes(routes!(resume))
}

/// Longest pause of a lane, in seconds.
const MAX_PAUSE_SECONDS: u64 = 24 * 3600;

/// One lane of one installation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LaneDepth)]
pub(crate) struct LaneView {
    /// The installation.
    installation: String,
    /// The lane.
    #[schema(schema_with = openapi::lane)]
    lane: Lane,
    /// Jobs that may start now.
    waiting: u64,
    /// Jobs that may not start yet.
    delayed: u64,
    /// Jobs claimed by workers.
    running: u64,
    /// Age of the oldest waiting job, in seconds.
    oldest_age_seconds: f64,
}

/// A pause of jobs.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Pause)]
pub(crate) struct PauseView {
    /// The installation, if all its lanes are paused.
    installation: Option<String>,
    /// The lane, if it is paused for all installations.
    lane: Option<String>,
    /// `budget`, `github_outage`, `secondary_limit` or `admin`.
    reason: &'static str,
    /// Remaining seconds.
    seconds_left: u64,
}

/// State of the queue.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Queues {
    /// Every lane of every installation, configured installations first.
    lanes: Vec<LaneView>,
    /// Current pauses.
    pauses: Vec<PauseView>,
}

/// Duration of a pause.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PauseBody {
    /// Seconds, at most one day.
    #[schema(minimum = 1, maximum = 86400)]
    seconds: u64,
}

problems! {
    ShowProblems: AdminRequired, QueueUnavailable;
    PauseProblems: MalformedBody, AdminRequired, NotFound, PayloadTooLarge, UnsupportedMediaType, ValidationFailed,
        QueueUnavailable;
}

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

impl From<Paused> for PauseView {
    fn from(paused: Paused) -> Self {
        let (installation, lane) = match paused.scope {
            Scope::Installation(installation) => (Some(installation.to_string()), None),
            Scope::Lane(lane) => (None, Some(lane.to_string())),
        };
        let (reason, seconds_left) = (paused.pause.reason.as_str(), whole_seconds(paused.pause.left));
        Self { installation, lane, reason, seconds_left }
    }
}

impl PauseView {
    /// Returns the view of a pause of all lanes of one installation.
    pub(super) fn of_installation(installation: &str, pause: &Pause) -> Self {
        let (reason, seconds_left) = (pause.reason.as_str(), whole_seconds(pause.left));
        Self { installation: Some(installation.to_owned()), lane: None, reason, seconds_left }
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

async fn queue_status(app: &AppState) -> ApiResult<Json<Queues>> {
    let stats = app.queue.stats().await?;
    let pauses = app.queue.pauses().await?;
    Ok(Json(Queues {
        lanes: all_lanes(app.installations.keys(), stats.lanes),
        pauses: pauses.into_iter().map(PauseView::from).collect(),
    }))
}

/// Show the depth of each lane and the current pauses.
///
/// For admins and viewers. The list includes lanes without jobs.
#[utoipa::path(
    get, path = "/admin/queues", tag = "admin",
    responses((status = 200, description = "The queue", body = Queues), ShowProblems),
)]
pub(crate) async fn show(State(app): State<AppState>, _: SeesAll) -> ApiResult<Json<Queues>> {
    queue_status(&app).await
}

/// Pause a lane for all installations. Running jobs finish; waiting jobs wait, up to their deadline.
///
/// For admins. It never shortens a longer pause.
#[utoipa::path(
    post, path = "/admin/queues/{lane}/pause", tag = "admin",
    params(("lane" = String, Path, description = "`provision`, `deprovision` or `drift`")), request_body = PauseBody,
    responses((status = 200, description = "The updated queue", body = Queues), PauseProblems),
)]
pub(crate) async fn pause(
    State(app): State<AppState>,
    Admin(caller): Admin,
    RequestOrigin(origin): RequestOrigin,
    Id(lane): Id<Lane>,
    Body(body): Body<PauseBody>,
) -> ApiResult<Json<Queues>> {
    if !(1..=MAX_PAUSE_SECONDS).contains(&body.seconds) {
        return Err(Problem::invalid(vec![FieldError::new("/seconds", "1 to 86400")]).into());
    }
    app.queue.pause_lane(lane, Duration::from_secs(body.seconds)).await?;
    let entry = AuditEntry {
        data: json!({ "lane": lane, "seconds": body.seconds }),
        ..AuditEntry::by(&caller, &origin, "lane.pause")
    };
    app.store.conn().await?.audit().write(&entry).await?;
    queue_status(&app).await
}

/// Resume a lane.
///
/// For admins. Pauses for GitHub's limits stay.
#[utoipa::path(
    post, path = "/admin/queues/{lane}/resume", tag = "admin",
    params(("lane" = String, Path, description = "`provision`, `deprovision` or `drift`")),
    responses((status = 200, description = "The updated queue", body = Queues), PauseProblems),
)]
pub(crate) async fn resume(
    State(app): State<AppState>,
    Admin(caller): Admin,
    RequestOrigin(origin): RequestOrigin,
    Id(lane): Id<Lane>,
) -> ApiResult<Json<Queues>> {
    app.queue.resume_lane(lane).await?;
    let entry =
        AuditEntry { data: json!({ "lane": lane }), ..AuditEntry::by(&caller, &origin, "lane.resume") };
    app.store.conn().await?.audit().write(&entry).await?;
    queue_status(&app).await
}
