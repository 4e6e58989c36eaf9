//! Budget: GitHub's limits of each installation, who uses them, and where this pace leads.

mod window;

use std::collections::BTreeMap;

use askama::Template;
use axum::{Json, extract::State, response::Response};
use domain::{ProblemCode, TeamId};

use self::window::WindowPanel;
use super::lanes::PauseNote;
use crate::{
    app::AppState,
    caller::SeesAll,
    error::ApiError,
    routes::admin::{
        budget::{self, InstallationView, PointsView},
        budget_pools::PoolView,
    },
    ui::{Frame, OverseeingVisitor, Section, UiResult, UiRoutes, page},
};

pub(super) fn routes() -> UiRoutes {
    UiRoutes::new().get("/budget", show)
}

/// Budgets of all installations.
#[derive(Template)]
#[template(path = "budget.html")]
struct BudgetPage {
    frame: Frame,
    /// `None` while the queue is away.
    panels: Option<Vec<Panel>>,
    /// Sums of App pools.
    pools: Vec<PoolView>,
}

/// Budget of one installation.
struct Panel {
    name: String,
    /// The pool whose further App it is.
    pool: Option<String>,
    windows: Vec<WindowPanel>,
    points: Vec<PointsView>,
    points_limit: Option<u64>,
    writes_per_minute: u64,
    /// Writes a minute that the points allow, while a secondary limit reduces them.
    writes_of: Option<u64>,
    registrations: u64,
    registrations_limit: Option<u64>,
    running: u64,
    breaker: &'static str,
    pauses: Vec<PauseNote>,
}

/// Points of one write.
const POINTS_OF_WRITE: u64 = 5;

impl Panel {
    fn new(view: InstallationView, names: &BTreeMap<TeamId, String>) -> Self {
        let all_writes = view.points_limit.map(|points| points / POINTS_OF_WRITE);
        Self {
            pool: Some(view.pool).filter(|pool| *pool != view.installation),
            name: view.installation,
            windows: view.windows.into_iter().map(|one| WindowPanel::new(one, names)).collect(),
            points: view.points,
            points_limit: view.points_limit,
            writes_per_minute: view.mutation_rate_per_minute,
            writes_of: all_writes.filter(|all| view.mutation_rate_per_minute < *all),
            registrations: view.registrations_used,
            registrations_limit: view.registrations_limit,
            running: view.running,
            breaker: view.breaker,
            pauses: view.pauses.into_iter().map(PauseNote::new).collect(),
        }
    }

    /// Returns the state of the breaker in a sentence.
    fn breaker_sentence(&self) -> &'static str {
        match self.breaker {
            "open" => "GitHub failed too often, and gets no request until the pause ends.",
            "half_open" => "One request probes whether GitHub works again; the others wait for its answer.",
            _ => "GitHub answers.",
        }
    }

    fn breaker_word(&self) -> &'static str {
        match self.breaker {
            "half_open" => "half open",
            other => other,
        }
    }
}

/// Shows the budgets.
async fn show(
    State(app): State<AppState>,
    OverseeingVisitor(visitor): OverseeingVisitor,
) -> UiResult<Response> {
    let mut pools = Vec::new();
    let panels = match budget::show(State(app.clone()), SeesAll(visitor.caller.clone())).await {
        Ok(Json(list)) => {
            let names = team_names(&app, &list.budgets).await?;
            pools = list.pools;
            Some(list.budgets.into_iter().map(|view| Panel::new(view, &names)).collect())
        }
        Err(ApiError(problem)) if problem.code == ProblemCode::QueueUnavailable => None,
        Err(error) => return Err(error.into()),
    };
    page(&BudgetPage { frame: Frame::new(&app, &visitor, Section::Budget, "Budget").await, panels, pools })
}

/// Returns the names of the teams that have spent something.
async fn team_names(app: &AppState, budgets: &[InstallationView]) -> UiResult<BTreeMap<TeamId, String>> {
    let windows = budgets.iter().flat_map(|budget| &budget.windows);
    let mut ids: Vec<TeamId> =
        windows.flat_map(|window| window.teams.iter().map(|team| team.team_id)).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let names = app.store.conn().await?.overviews().team_names(&ids).await?;
    Ok(names.into_iter().collect())
}
