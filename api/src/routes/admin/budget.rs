//! GitHub's limits of each installation, as last reported.

use axum::{Json, extract::State};
use domain::{Lane, TeamId};
use queue::{Breaker, BudgetView};
use serde::Serialize;
use store::PauseRow;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    budget_pools::{PoolView, pools},
    queues::PauseView,
};
use crate::{
    app::AppState,
    caller::SeesAll,
    error::ApiResult,
    openapi::{self, problems},
};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(show))
}

/// A primary window, as last reported in GitHub's headers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BudgetWindow)]
pub(crate) struct WindowView {
    /// `x-ratelimit-resource`.
    pub(crate) resource: String,
    /// Requests allowed in the window.
    pub(crate) limit: u64,
    /// Requests left.
    pub(crate) remaining: u64,
    /// Seconds until the window resets.
    pub(crate) reset_in_seconds: u64,
    /// Requests that each lane has used in this window.
    pub(crate) lanes: Vec<LaneSpending>,
    /// Requests that each team has used in this window: the 50 teams with most requests, largest first.
    pub(crate) teams: Vec<TeamSpending>,
}

/// Use of a window by one lane.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LaneSpending {
    /// The lane.
    #[schema(schema_with = openapi::lane)]
    pub(crate) lane: Lane,
    /// Requests used.
    pub(crate) spent: u64,
}

/// Use of a window by one team.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TeamSpending {
    /// The team.
    #[schema(value_type = uuid::Uuid)]
    pub(crate) team_id: TeamId,
    /// Requests used.
    pub(crate) spent: u64,
}

/// Points of one endpoint in the last minute.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EndpointPoints)]
pub(crate) struct PointsView {
    /// The endpoint.
    pub(crate) endpoint: String,
    /// Points used.
    pub(crate) used: u64,
}

/// The budget of one installation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InstallationBudget)]
pub(crate) struct InstallationView {
    /// The installation.
    pub(crate) installation: String,
    /// Its App pool; itself if it is alone or the first of its pool.
    pub(crate) pool: String,
    /// Primary windows.
    pub(crate) windows: Vec<WindowView>,
    /// Current limit on writes per minute. A secondary limit halves it; each minute without one raises it again.
    pub(crate) mutation_rate_per_minute: u64,
    /// Points used in the last minute, by endpoint.
    pub(crate) points: Vec<PointsView>,
    /// Points allowed in a minute on each endpoint; null without limits.
    pub(crate) points_limit: Option<u64>,
    /// Runners registered in the last five minutes.
    pub(crate) registrations_used: u64,
    /// Registrations allowed in five minutes; null without limits, and for a further App of a pool: GitHub counts
    /// registrations for the organization, and the first App of the pool shows them.
    pub(crate) registrations_limit: Option<u64>,
    /// Running jobs that it pays for.
    pub(crate) running: u64,
    /// `closed` (normal), `open` (GitHub is unavailable and gets no requests) or `half_open` (one probe request).
    pub(crate) breaker: &'static str,
    /// Current pauses of its jobs.
    pub(crate) pauses: Vec<PauseView>,
}

/// Budgets of all installations.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BudgetList {
    /// Budgets, by installation.
    pub(crate) budgets: Vec<InstallationView>,
    /// Sums of the budgets of each App pool with several Apps.
    pub(crate) pools: Vec<PoolView>,
    /// Number of budgets.
    pub(crate) total: usize,
    /// Always null: this list has one page.
    pub(crate) next_cursor: Option<String>,
}

impl InstallationView {
    fn new(view: BudgetView, rows: &[PauseRow]) -> Self {
        let window = |window: queue::Window| WindowView {
            resource: window.resource,
            limit: window.limit,
            remaining: window.remaining,
            reset_in_seconds: window.reset_in.as_secs(),
            lanes: window.lanes.into_iter().map(|(lane, spent)| LaneSpending { lane, spent }).collect(),
            teams: window.teams.into_iter().map(|(team_id, spent)| TeamSpending { team_id, spent }).collect(),
        };
        Self {
            windows: view.resources.into_iter().map(window).collect(),
            mutation_rate_per_minute: view.mutation_rate_per_minute,
            points: view
                .points
                .into_iter()
                .map(|one| PointsView { endpoint: one.endpoint, used: one.used })
                .collect(),
            points_limit: view.points_limit,
            registrations_used: view.registrations_used,
            registrations_limit: view.registrations_limit,
            running: view.running,
            breaker: match view.breaker {
                Breaker::Closed => "closed",
                Breaker::Open { .. } => "open",
                Breaker::HalfOpen => "half_open",
            },
            pauses: view
                .pauses
                .iter()
                .map(|pause| PauseView::of_installation(&view.installation, *pause, rows))
                .collect(),
            installation: view.installation.to_string(),
            pool: view.pool.to_string(),
        }
    }
}

problems! { BudgetProblems: AdminRequired, QueueUnavailable; }

/// Show the remaining GitHub budget of each installation.
///
/// For admins and viewers: windows, points, running jobs and pauses as the queue knows them.
#[utoipa::path(
    get, path = "/admin/budget", tag = "admin",
    responses((status = 200, description = "By installation", body = BudgetList), BudgetProblems),
)]
pub(crate) async fn show(State(app): State<AppState>, _: SeesAll) -> ApiResult<Json<BudgetList>> {
    let views = app.queue.budget().await?;
    let rows = app.store.conn().await?.pauses().list().await?;
    let budgets: Vec<_> = views.into_iter().map(|view| InstallationView::new(view, &rows)).collect();
    let pools = pools(&budgets);
    Ok(Json(BudgetList { total: budgets.len(), budgets, pools, next_cursor: None }))
}
