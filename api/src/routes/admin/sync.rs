//! The comparison of the fleet with GitHub: how it stands, and asking for it now.

use axum::{Json, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{SyncRow, UnmanagedRow};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::teams::configured;
use crate::{
    app::AppState,
    body::{Body, Params},
    caller::{Administers, SeesAll},
    error::ApiResult,
    openapi::problems,
    page::{list_body, list_params},
};

/// The scheduler's lease, by its name in the rows.
const LEASE: &str = "scheduler";

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(status)).routes(routes!(trigger)).routes(routes!(unmanaged))
}

/// How the comparison of one installation stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InstallationSync {
    /// Which.
    installation: String,
    /// How often it is compared, in seconds.
    interval_seconds: Option<i32>,
    /// An admin asked for a pass that has not begun yet.
    triggered: bool,
    /// The end of the last run of any kind.
    last_sync_time: Option<DateTime<Utc>>,
    /// The end of the last complete run.
    last_complete_sync_time: Option<DateTime<Utc>>,
    /// How the last pass ended: `ok`, `held`, `incomplete`, `paused` or `failed`.
    #[schema(example = "ok")]
    last_sync_result: Option<String>,
    /// What went wrong with it.
    last_sync_error: Option<String>,
    /// What it counted.
    #[schema(value_type = Option<Object>)]
    counts: Option<Value>,
    /// How many runners were not sent after: too many at once. An admin must confirm.
    removals_held: i32,
    /// An admin has agreed to them less than 15 minutes ago, and no complete pass has come since.
    removals_confirmed: bool,
}

/// How the comparison of the fleet with GitHub stands; the first lines are about the first installation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SyncStatus {
    /// Whether a scheduler is there to do it.
    enabled: bool,
    /// How often, in seconds.
    interval_seconds: Option<i32>,
    /// The scheduler that does it.
    worker_hostname: Option<String>,
    /// When it last said that it is there.
    worker_heartbeat: Option<DateTime<Utc>>,
    /// The end of the last run of any kind.
    last_sync_time: Option<DateTime<Utc>>,
    /// The end of the last complete run.
    last_complete_sync_time: Option<DateTime<Utc>>,
    /// How the last pass ended.
    #[schema(example = "ok")]
    last_sync_result: Option<String>,
    /// What went wrong with it.
    last_sync_error: Option<String>,
    /// Every installation, by name.
    installations: Vec<InstallationSync>,
}

/// What to do.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TriggerBody {
    /// Where the last pass held removals back, let the next complete one send after about as many, once and within 15
    /// minutes.
    #[serde(default)]
    confirm_removals: bool,
    /// Only this installation; every one when not said.
    #[schema(min_length = 1, max_length = 40)]
    installation: Option<String>,
}

/// What was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Triggered {
    /// The installations whose next pass begins at once.
    installations: Vec<String>,
    /// Those of them that may send after about as many runners as were held back.
    confirmed: Vec<String>,
}

/// A runner on GitHub that is not ours; it is only ever shown.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UnmanagedRunner {
    /// Of this row.
    id: Uuid,
    /// Where it was seen.
    installation: String,
    /// GitHub's id.
    github_runner_id: i64,
    /// Its name.
    runner_name: String,
    /// Connected.
    online: bool,
    /// Runs a workflow job.
    busy: bool,
    /// All its labels.
    labels: Vec<String>,
    /// First listed.
    first_seen_at: DateTime<Utc>,
    /// Last listed.
    last_seen_at: DateTime<Utc>,
}

list_params! {
    /// Which of the runners that are not ours.
    UnmanagedParams {}
}

list_body! {
    /// A page of runners that are not ours.
    UnmanagedList { runners: UnmanagedRunner }
}

problems! {
    StatusProblems: AdminRequired;
    TriggerProblems: MalformedBody, AdminRequired, PayloadTooLarge, UnsupportedMediaType, ValidationFailed;
    UnmanagedProblems: AdminRequired, ValidationFailed;
}

impl From<SyncRow> for InstallationSync {
    fn from(row: SyncRow) -> Self {
        Self {
            installation: row.installation,
            interval_seconds: row.interval_seconds,
            triggered: row.triggered,
            last_sync_time: row.last_sync_time,
            last_complete_sync_time: row.last_complete_sync_time,
            last_sync_result: row.last_sync_result,
            last_sync_error: row.last_sync_error,
            counts: row.counts,
            removals_held: row.removals_held,
            removals_confirmed: row.removals_confirmed,
        }
    }
}

impl From<UnmanagedRow> for UnmanagedRunner {
    fn from(row: UnmanagedRow) -> Self {
        Self {
            id: row.id,
            installation: row.installation,
            github_runner_id: row.github_runner_id,
            runner_name: row.name,
            online: row.online,
            busy: row.busy,
            labels: row.labels,
            first_seen_at: row.first_seen_at,
            last_seen_at: row.last_seen_at,
        }
    }
}

/// Show how the comparison of the fleet with GitHub stands.
///
/// For admins and viewers: when each installation was compared last, how that ended, and what was held back.
#[utoipa::path(
    get, path = "/admin/sync/status", tag = "admin",
    responses((status = 200, description = "As of now", body = SyncStatus), StatusProblems),
)]
pub(crate) async fn status(State(app): State<AppState>, _: SeesAll) -> ApiResult<Json<SyncStatus>> {
    let mut conn = app.store.conn().await?;
    let rows = conn.sync_runs().statuses().await?;
    let lease = conn.leases().get(LEASE).await?;
    let first = rows.first().cloned();
    Ok(Json(SyncStatus {
        enabled: lease.as_ref().is_some_and(|lease| lease.holds),
        interval_seconds: first.as_ref().and_then(|row| row.interval_seconds),
        worker_hostname: lease.as_ref().map(|lease| lease.holder.clone()),
        worker_heartbeat: lease.map(|lease| lease.renewed_at),
        last_sync_time: first.as_ref().and_then(|row| row.last_sync_time),
        last_complete_sync_time: first.as_ref().and_then(|row| row.last_complete_sync_time),
        last_sync_result: first.as_ref().and_then(|row| row.last_sync_result.clone()),
        last_sync_error: first.and_then(|row| row.last_sync_error),
        installations: rows.into_iter().map(InstallationSync::from).collect(),
    }))
}

/// Compare the fleet with GitHub now; with `confirm_removals`, also where that may cost as many runners at once as the last
/// pass held back. A pass that finds many more stops again.
///
/// For admins. An empty body or `null` means every installation and no confirmation.
#[utoipa::path(
    post, path = "/admin/sync/trigger", tag = "admin", request_body = Option<TriggerBody>,
    responses((status = 202, description = "The next pass begins within seconds", body = Triggered), TriggerProblems),
)]
pub(crate) async fn trigger(
    State(app): State<AppState>,
    Administers(admin): Administers,
    body: Option<Body<TriggerBody>>,
) -> ApiResult<(StatusCode, Json<Triggered>)> {
    let asked = body.map(|Body(body)| body).unwrap_or_default();
    let only = asked.installation.as_deref().map(|name| configured(&app, name)).transpose()?;
    let triggered =
        operations::request_sync(&app.store, &admin, only.as_ref(), asked.confirm_removals).await?;
    let confirmed =
        triggered.iter().filter(|one| one.confirmed).map(|one| one.installation.clone()).collect();
    let installations = triggered.into_iter().map(|one| one.installation).collect();
    let answer = Triggered { installations, confirmed };
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

/// List runners on GitHub that are not ours, as of the last complete pass. They are never touched.
///
/// For admins and viewers.
#[utoipa::path(
    get, path = "/admin/runners/unmanaged", tag = "admin", params(UnmanagedParams),
    responses((status = 200, description = "Last found first", body = UnmanagedList), UnmanagedProblems),
)]
pub(crate) async fn unmanaged(
    State(app): State<AppState>,
    SeesAll(caller): SeesAll,
    Params(params): Params<UnmanagedParams>,
) -> ApiResult<Json<UnmanagedList>> {
    let page = params.page()?;
    let mut lists = app.lists(&caller).await?;
    let listed = lists.sync_runs().unmanaged(page).await;
    let listed = lists.finish(listed)?;
    Ok(Json(UnmanagedList::new(listed)))
}
