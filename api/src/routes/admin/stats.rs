//! Counts for an overview.

use axum::extract::State;
use operations::{Viewer, count_everything};
use serde::Serialize;
use store::{Counts, MAX_TOTAL};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{app::AppState, caller::SeesAll, error::ApiResult, lists::Listing, openapi::problems};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(stats))
}

/// Runners by status. Deleted ones are not counted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunnerCounts {
    /// All of them.
    pub(crate) total: i64,
    /// Requested, without a config yet.
    pub(crate) requested: i64,
    /// With a config, and never online.
    pub(crate) pending: i64,
    /// Online.
    pub(crate) active: i64,
    /// Online before, and not now.
    pub(crate) offline: i64,
}

/// Users.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UserCounts {
    /// All of them.
    pub(crate) total: i64,
    /// Those who may act.
    pub(crate) active: i64,
    /// Active admins.
    pub(crate) admins: i64,
    /// Active viewers.
    pub(crate) viewers: i64,
}

/// Teams.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TeamCounts {
    /// All of them.
    pub(crate) total: i64,
    /// Those that may get runners.
    pub(crate) active: i64,
}

/// Security events that are kept.
#[expect(clippy::struct_field_names, reason = "names of the predecessor")]
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SecurityCounts {
    /// All of them.
    pub(crate) total_events: i64,
    /// Of severity `critical`.
    pub(crate) critical_events: i64,
    /// Of severity `high`.
    pub(crate) high_events: i64,
}

/// Audit rows that are kept.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditCounts {
    /// All of them.
    pub(crate) total_logs: i64,
    /// Those about refusals and failures.
    pub(crate) failed_operations: i64,
}

/// Counts for an overview. Each row is counted up to 10,000.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatsView {
    pub(crate) runners: RunnerCounts,
    pub(crate) users: UserCounts,
    pub(crate) teams: TeamCounts,
    pub(crate) security: SecurityCounts,
    pub(crate) audit: AuditCounts,
    /// Whether a count stopped at 10,000, so that there may be more.
    pub(crate) total_is_lower_bound: bool,
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
pub(crate) async fn stats(
    State(app): State<AppState>,
    SeesAll(caller): SeesAll,
) -> ApiResult<Listing<StatsView>> {
    let permission = Viewer::from_caller(&caller)?;
    let mut lists = app.lists(&caller).await?;
    let counts = count_everything(&mut lists, permission).await;
    lists.respond(counts, StatsView::from)
}
