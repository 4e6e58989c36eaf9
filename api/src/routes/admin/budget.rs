//! What is left of GitHub's limits.

use axum::{Json, extract::State};
use domain::{Lane, TeamId};
use queue::{Breaker, BudgetView};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::queues::PauseView;
use crate::{
    app::AppState,
    caller::SeesAll,
    error::ApiResult,
    openapi::{self, problems},
};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(show))
}

/// One primary window, as GitHub's headers said last.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BudgetWindow)]
pub(crate) struct WindowView {
    /// `x-ratelimit-resource`.
    resource: String,
    /// Requests of the whole window.
    limit: u64,
    /// Requests left.
    remaining: u64,
    /// Seconds until it opens anew.
    reset_in_seconds: u64,
    /// Requests each lane spent in this window.
    lanes: Vec<LaneSpending>,
    /// Requests each team spent in this window: the 50 teams that spent most, the largest first.
    teams: Vec<TeamSpending>,
}

/// What one lane spent of a window.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LaneSpending {
    /// The lane.
    #[schema(schema_with = openapi::lane)]
    lane: Lane,
    /// Requests.
    spent: u64,
}

/// What one team spent of a window.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TeamSpending {
    /// The team.
    #[schema(value_type = uuid::Uuid)]
    team_id: TeamId,
    /// Requests.
    spent: u64,
}

/// The minute's points of one endpoint.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EndpointPoints)]
pub(crate) struct PointsView {
    /// The endpoint.
    endpoint: String,
    /// Points used.
    used: u64,
}

/// The budget of one installation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InstallationBudget)]
pub(crate) struct InstallationView {
    /// The installation.
    installation: String,
    /// Its primary windows.
    windows: Vec<WindowView>,
    /// Writes a minute that are tried now: halved by a secondary limit, growing again with every clean minute.
    mutation_rate_per_minute: u64,
    /// Points used in the last minute, by endpoint.
    points: Vec<PointsView>,
    /// Runners registered in the last five minutes.
    registrations_used: u64,
    /// Jobs that run.
    running: u64,
    /// `closed` (all is well), `open` (GitHub is away, nothing is asked) or `half_open` (one request tries).
    breaker: &'static str,
    /// What holds its jobs up now.
    pauses: Vec<PauseView>,
}

/// All budgets.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BudgetList {
    /// By installation.
    budgets: Vec<InstallationView>,
    /// How many.
    total: usize,
    /// Always null: this list has one page.
    next_cursor: Option<String>,
}

impl From<BudgetView> for InstallationView {
    fn from(view: BudgetView) -> Self {
        let installation = view.installation.to_string();
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
            registrations_used: view.registrations_used,
            running: view.running,
            breaker: match view.breaker {
                Breaker::Closed => "closed",
                Breaker::Open { .. } => "open",
                Breaker::HalfOpen => "half_open",
            },
            pauses: view
                .pauses
                .iter()
                .map(|pause| PauseView::of_installation(&installation, pause))
                .collect(),
            installation,
        }
    }
}

problems! { BudgetProblems: AdminRequired, QueueUnavailable; }

/// Show what is left of GitHub's limits, for each installation.
///
/// For admins and viewers: windows, points, running requests and pauses as the queue knows them.
#[utoipa::path(
    get, path = "/admin/budget", tag = "admin",
    responses((status = 200, description = "By installation", body = BudgetList), BudgetProblems),
)]
pub(crate) async fn show(State(app): State<AppState>, _: SeesAll) -> ApiResult<Json<BudgetList>> {
    let budgets: Vec<_> = app.queue.budget().await?.into_iter().map(InstallationView::from).collect();
    Ok(Json(BudgetList { total: budgets.len(), budgets, next_cursor: None }))
}
