//! Counts for an overview.

use axum::{extract::State, response::Response};
use operations::{Viewer, count_everything};
use serde::Serialize;
use store::{Counts, MAX_TOTAL};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{app::AppState, caller::SeesAll, error::ApiResult, openapi::problems};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(stats))
}

/// Runners by status. Deleted ones are not counted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunnerCounts {
    /// All of them.
    total: i64,
    /// Requested, without a config yet.
    requested: i64,
    /// With a config, and never online.
    pending: i64,
    /// Online.
    active: i64,
    /// Online before, and not now.
    offline: i64,
}

/// Users.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UserCounts {
    /// All of them.
    total: i64,
    /// Those who may act.
    active: i64,
    /// Active admins.
    admins: i64,
    /// Active viewers.
    viewers: i64,
}

/// Teams.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TeamCounts {
    /// All of them.
    total: i64,
    /// Those that may get runners.
    active: i64,
}

/// Security events that are kept.
#[expect(clippy::struct_field_names, reason = "names of the predecessor")]
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SecurityCounts {
    /// All of them.
    total_events: i64,
    /// Of severity `critical`.
    critical_events: i64,
    /// Of severity `high`.
    high_events: i64,
}

/// Audit rows that are kept.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditCounts {
    /// All of them.
    total_logs: i64,
    /// Those about refusals and failures.
    failed_operations: i64,
}

/// Counts for an overview. Each row is counted up to 10,000.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatsView {
    runners: RunnerCounts,
    users: UserCounts,
    teams: TeamCounts,
    security: SecurityCounts,
    audit: AuditCounts,
    /// Whether a count stopped at 10,000, so that there may be more.
    total_is_lower_bound: bool,
}

impl From<Counts> for StatsView {
    fn from(counts: Counts) -> Self {
        let mut is_lower_bound = false;
        let mut bounded = |count: i64| {
            is_lower_bound |= count > MAX_TOTAL;
            count.min(MAX_TOTAL)
        };
        let (requested, pending) = (bounded(counts.requested_runners), bounded(counts.pending_runners));
        let (active, offline) = (bounded(counts.active_runners), bounded(counts.offline_runners));
        let total = requested + pending + active + offline;
        let view = Self {
            runners: RunnerCounts { total, requested, pending, active, offline },
            users: UserCounts {
                total: bounded(counts.users),
                active: bounded(counts.active_users),
                admins: bounded(counts.admins),
                viewers: bounded(counts.viewers),
            },
            teams: TeamCounts { total: bounded(counts.teams), active: bounded(counts.active_teams) },
            security: SecurityCounts {
                total_events: bounded(counts.events),
                critical_events: bounded(counts.critical_events),
                high_events: bounded(counts.high_events),
            },
            audit: AuditCounts {
                total_logs: bounded(counts.audit_rows),
                failed_operations: bounded(counts.failures),
            },
            total_is_lower_bound: false,
        };
        Self { total_is_lower_bound: is_lower_bound, ..view }
    }
}

problems! { StatsProblems: AdminRequired; }

/// Count runners, users, teams, security events and audit rows.
///
/// For admins and viewers. Deleted runners are not counted.
#[utoipa::path(
    get, path = "/admin/stats", tag = "admin",
    responses((status = 200, description = "The counts", body = StatsView), StatsProblems),
)]
pub(crate) async fn stats(State(app): State<AppState>, SeesAll(caller): SeesAll) -> ApiResult<Response> {
    let permission = Viewer::from_caller(&caller)?;
    let mut lists = app.lists(&caller).await?;
    let counts = count_everything(&mut lists, permission).await;
    lists.respond(counts, StatsView::from)
}
