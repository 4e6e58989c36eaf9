//! How deep the queue is, and holding a lane up.

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

/// Longest pause of a lane.
const MOST: u64 = 24 * 3600;

/// One lane of one installation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LaneDepth)]
pub(crate) struct LaneView {
    /// The installation.
    installation: String,
    /// The lane.
    #[schema(schema_with = openapi::lane)]
    lane: Lane,
    /// Jobs that may start.
    waiting: u64,
    /// Jobs that may not start yet.
    delayed: u64,
    /// Jobs workers hold.
    running: u64,
    /// Age of the oldest waiting job, in seconds.
    oldest_age_seconds: f64,
}

/// What holds jobs up.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Pause)]
pub(crate) struct PauseView {
    /// The installation, when all its lanes are paused.
    installation: Option<String>,
    /// The lane, when it is paused everywhere.
    lane: Option<String>,
    /// `budget`, `github_outage`, `secondary_limit` or `admin`.
    reason: &'static str,
    /// Seconds it still lasts.
    seconds_left: u64,
}

/// The queue.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Queues {
    /// Every lane of every installation, the configured ones first.
    lanes: Vec<LaneView>,
    /// What holds jobs up now.
    pauses: Vec<PauseView>,
}

/// How long to hold a lane up.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PauseBody {
    /// Seconds, at most a day.
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
    /// A pause of all lanes of one installation.
    pub(super) fn of_installation(installation: &str, pause: &Pause) -> Self {
        let (reason, seconds_left) = (pause.reason.as_str(), whole_seconds(pause.left));
        Self { installation: Some(installation.to_owned()), lane: None, reason, seconds_left }
    }
}

/// The rows of the queue, and empty ones for the lanes of installations that hold nothing.
fn every_lane<'i>(
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

async fn look(app: &AppState) -> ApiResult<Json<Queues>> {
    let stats = app.queue.stats().await?;
    let pauses = app.queue.pauses().await?;
    Ok(Json(Queues {
        lanes: every_lane(app.installations.keys(), stats.lanes),
        pauses: pauses.into_iter().map(PauseView::from).collect(),
    }))
}

/// Show how deep each lane is and what holds jobs up.
///
/// For admins and viewers: every lane of every installation, also those without jobs.
#[utoipa::path(
    get, path = "/admin/queues", tag = "admin",
    responses((status = 200, description = "The queue", body = Queues), ShowProblems),
)]
pub(crate) async fn show(State(app): State<AppState>, _: SeesAll) -> ApiResult<Json<Queues>> {
    look(&app).await
}

/// Hold a lane up everywhere. Running jobs end; waiting ones wait, up to their deadline.
///
/// For admins. It never shortens a pause that lasts longer.
#[utoipa::path(
    post, path = "/admin/queues/{lane}/pause", tag = "admin",
    params(("lane" = String, Path, description = "`provision`, `deprovision` or `drift`")), request_body = PauseBody,
    responses((status = 200, description = "The queue as it is now", body = Queues), PauseProblems),
)]
pub(crate) async fn pause(
    State(app): State<AppState>,
    Admin(caller): Admin,
    RequestOrigin(origin): RequestOrigin,
    Id(lane): Id<Lane>,
    Body(body): Body<PauseBody>,
) -> ApiResult<Json<Queues>> {
    if !(1..=MOST).contains(&body.seconds) {
        return Err(Problem::invalid(vec![FieldError::new("/seconds", "1 to 86400")]).into());
    }
    app.queue.pause_lane(lane, Duration::from_secs(body.seconds)).await?;
    let entry = AuditEntry {
        data: json!({ "lane": lane, "seconds": body.seconds }),
        ..AuditEntry::by(&caller, &origin, "lane.pause")
    };
    app.store.conn().await?.audit().write(&entry).await?;
    look(&app).await
}

/// Let a lane go on.
///
/// For admins. Pauses of GitHub's limits stay.
#[utoipa::path(
    post, path = "/admin/queues/{lane}/resume", tag = "admin",
    params(("lane" = String, Path, description = "`provision`, `deprovision` or `drift`")),
    responses((status = 200, description = "The queue as it is now", body = Queues), PauseProblems),
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
    look(&app).await
}
