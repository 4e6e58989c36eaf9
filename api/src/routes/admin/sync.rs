//! Sync runs: their status, a request for one now, and the unmanaged runners they found.

use axum::{Json, extract::State, http::StatusCode};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{StepRow, SyncRow, UnmanagedRow};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::teams::configured_installation;
use crate::{
    app::AppState,
    body::{Body, Params},
    caller::{Administers, SeesAll},
    error::ApiResult,
    lists::Listing,
    openapi::problems,
    page::{list_body, list_params},
};

/// Periods without a success after which a step is late, and the time that is added: reports come every 15 seconds, and
/// another scheduler may have to take the lead.
const LATE_PERIODS: i64 = 3;
const LATE_MARGIN: TimeDelta = TimeDelta::minutes(1);
/// Name of the scheduler's lease.
const LEASE_NAME: &str = "scheduler";

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(status)).routes(routes!(trigger)).routes(routes!(unmanaged))
}

/// Sync status of one installation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InstallationSync {
    /// The installation.
    pub(crate) installation: String,
    /// Seconds between two sync runs.
    pub(crate) interval_seconds: Option<i32>,
    /// Whether an admin has requested a run that has not begun yet.
    pub(crate) triggered: bool,
    /// End of the last run of any kind.
    pub(crate) last_sync_time: Option<DateTime<Utc>>,
    /// End of the last complete run.
    pub(crate) last_complete_sync_time: Option<DateTime<Utc>>,
    /// Result of the last run: `ok`, `held`, `incomplete`, `paused` or `failed`.
    #[schema(example = "ok")]
    pub(crate) last_sync_result: Option<String>,
    /// Error of the last run.
    pub(crate) last_sync_error: Option<String>,
    /// Counts of the last run.
    #[schema(value_type = Option<Object>)]
    pub(crate) counts: Option<Value>,
    /// Number of runners whose removal is held because there are too many at once. An admin must approve them.
    pub(crate) removals_held: i32,
    /// Whether an admin approved them less than 15 minutes ago and no complete run has ended since.
    pub(crate) removals_confirmed: bool,
}

/// Sync status. The fields beside `installations` are those of the first installation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SyncStatus {
    /// Whether a scheduler leads.
    pub(crate) enabled: bool,
    /// Seconds between two sync runs.
    pub(crate) interval_seconds: Option<i32>,
    /// Name of the leading scheduler.
    pub(crate) worker_hostname: Option<String>,
    /// Last heartbeat of the leading scheduler.
    pub(crate) worker_heartbeat: Option<DateTime<Utc>>,
    /// End of the last run of any kind.
    pub(crate) last_sync_time: Option<DateTime<Utc>>,
    /// End of the last complete run.
    pub(crate) last_complete_sync_time: Option<DateTime<Utc>>,
    /// Result of the last run.
    #[schema(example = "ok")]
    pub(crate) last_sync_result: Option<String>,
    /// Error of the last run.
    pub(crate) last_sync_error: Option<String>,
    /// Status of every installation, by name.
    pub(crate) installations: Vec<InstallationSync>,
    /// Periodic steps of all schedulers, by name.
    pub(crate) steps: Vec<SchedulerStep>,
}

/// A periodic step of the schedulers. Each scheduler writes what it knows every 15 seconds.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SchedulerStep {
    /// Name of the step, as in `rts_scheduler_last_success_seconds`.
    #[schema(example = "expire")]
    pub(crate) step: String,
    /// Seconds between two runs.
    pub(crate) period_seconds: i32,
    /// Whether only the leading scheduler runs it.
    pub(crate) led: bool,
    /// Name of the scheduler that reported it last.
    pub(crate) scheduler: String,
    /// Last success; null if none is known.
    pub(crate) last_success: Option<DateTime<Utc>>,
    /// Last failure; null if none is known.
    pub(crate) last_failure: Option<DateTime<Utc>>,
    /// Whether the last success is longer ago than three periods and a minute.
    pub(crate) late: bool,
}

impl SchedulerStep {
    fn of(row: StepRow, now: DateTime<Utc>) -> Self {
        let limit = TimeDelta::seconds(i64::from(row.period_seconds) * LATE_PERIODS) + LATE_MARGIN;
        Self {
            late: row.succeeded_at.is_none_or(|at| now - at > limit),
            step: row.step,
            period_seconds: row.period_seconds,
            led: row.led,
            scheduler: row.scheduler,
            last_success: row.succeeded_at,
            last_failure: row.failed_at,
        }
    }
}

/// Options of the requested sync run.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TriggerBody {
    /// Approve the removals that the last run held. The next complete run within 15 minutes may remove about as many,
    /// once.
    #[serde(default)]
    pub(crate) confirm_removals: bool,
    /// Only this installation; by default all installations.
    #[schema(min_length = 1, max_length = 40)]
    pub(crate) installation: Option<String>,
}

/// Sync runs that were requested.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Triggered {
    /// Installations whose next run begins at once.
    pub(crate) installations: Vec<String>,
    /// Those of them whose held removals are now approved.
    pub(crate) confirmed: Vec<String>,
}

/// A runner on GitHub that did not come through this service. It is only listed, never changed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UnmanagedRunner {
    /// Id of this row.
    pub(crate) id: Uuid,
    /// Installation in which it was seen.
    pub(crate) installation: String,
    /// GitHub's id of the runner.
    pub(crate) github_runner_id: i64,
    /// Name of the runner.
    pub(crate) runner_name: String,
    /// Whether the runner is online.
    pub(crate) online: bool,
    /// Whether the runner runs a workflow job.
    pub(crate) busy: bool,
    /// All labels of the runner.
    pub(crate) labels: Vec<String>,
    /// First listed.
    pub(crate) first_seen_at: DateTime<Utc>,
    /// Last listed.
    pub(crate) last_seen_at: DateTime<Utc>,
}

list_params! {
    /// Filters of the list of unmanaged runners.
    UnmanagedParams {}
}

list_body! {
    /// A page of unmanaged runners.
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

/// Show the status of the sync runs.
///
/// For admins and viewers: the last run of each installation, its result, and held removals.
#[utoipa::path(
    get, path = "/admin/sync/status", tag = "admin",
    responses((status = 200, description = "The current status", body = SyncStatus), StatusProblems),
)]
pub(crate) async fn status(State(app): State<AppState>, _: SeesAll) -> ApiResult<Json<SyncStatus>> {
    let mut conn = app.store.conn().await?;
    let rows = conn.sync_runs().statuses().await?;
    let lease = conn.leases().get(LEASE_NAME).await?;
    let steps = conn.scheduler_steps().list().await?;
    drop(conn);
    let now = app.store.now().await?;
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
        steps: steps.into_iter().map(|row| SchedulerStep::of(row, now)).collect(),
    }))
}

/// Start a sync run now. `confirm_removals` also approves the removals that the last run held; a run that finds many
/// more holds them again.
///
/// For admins. An empty body or `null` means all installations and no approval.
#[utoipa::path(
    post, path = "/admin/sync/trigger", tag = "admin", request_body = Option<TriggerBody>,
    responses((status = 202, description = "The next run begins within seconds", body = Triggered), TriggerProblems),
)]
pub(crate) async fn trigger(
    State(app): State<AppState>,
    Administers(admin): Administers,
    body: Option<Body<TriggerBody>>,
) -> ApiResult<(StatusCode, Json<Triggered>)> {
    let request = body.map(|Body(body)| body).unwrap_or_default();
    let only = request.installation.as_deref().map(|name| configured_installation(&app, name)).transpose()?;
    let triggered =
        operations::request_sync(&app.store, &admin, only.as_ref(), request.confirm_removals).await?;
    let confirmed =
        triggered.iter().filter(|one| one.confirmed).map(|one| one.installation.clone()).collect();
    let installations = triggered.into_iter().map(|one| one.installation).collect();
    let answer = Triggered { installations, confirmed };
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

/// List unmanaged runners: runners on GitHub that did not come through this service. They are never changed.
///
/// For admins and viewers, as of the last complete sync run.
#[utoipa::path(
    get, path = "/admin/runners/unmanaged", tag = "admin", params(UnmanagedParams),
    responses((status = 200, description = "Last found first", body = UnmanagedList), UnmanagedProblems),
)]
pub(crate) async fn unmanaged(
    State(app): State<AppState>,
    SeesAll(caller): SeesAll,
    Params(params): Params<UnmanagedParams>,
) -> ApiResult<Listing<UnmanagedList>> {
    let page = params.page()?;
    let mut lists = app.lists(&caller).await?;
    let listed = lists.unmanaged_runners().list(page).await;
    lists.respond(listed, UnmanagedList::new)
}
