//! One runner: its properties, its life, and its actions.

use askama::Template;
use axum::{extract::State, response::Response};
use domain::{RunnerId, RunnerStatus};
use uuid::Uuid;

use super::{
    life::{self, LifeEvent},
    list::{RunnerRow, with_days_left},
};
use crate::{
    app::AppState,
    body::Id,
    caller::Authorised,
    routes::runners::{
        list,
        view::{RunnerView, RunnerWithEvents},
    },
    ui::{Frame, Section, UiResult, Visitor, page, pages::input::PageId},
};

/// A runner and its life.
#[derive(Template)]
#[template(path = "runner.html")]
struct RunnerPage {
    frame: Frame,
    runner: RunnerView,
    life: Vec<LifeEvent>,
    may_act: bool,
    /// The job that creates it, while it is only requested.
    open_job: Option<Uuid>,
    /// What remains of the version's support, once its end is near.
    version_end: Option<String>,
}

impl RunnerPage {
    /// Returns whether the runner is on GitHub.
    fn is_on_github(&self) -> bool {
        !matches!(self.runner.status, RunnerStatus::Requested | RunnerStatus::Deleted)
    }

    fn labels(&self) -> String {
        self.runner.labels.join(", ")
    }
}

/// State of a runner alone, for a page that waits for it.
#[derive(Template)]
#[template(path = "runner_state.html")]
struct StateFragment {
    runner: RunnerView,
}

impl StateFragment {
    /// Returns whether the page need not ask again.
    fn is_settled(&self) -> bool {
        matches!(self.runner.status, RunnerStatus::Active | RunnerStatus::Deleted)
    }
}

async fn read(app: &AppState, visitor: &Visitor, id: RunnerId) -> UiResult<RunnerWithEvents> {
    let caller = Authorised(visitor.caller.clone());
    Ok(list::show(State(app.clone()), caller, Id(id)).await?.0)
}

/// Shows a runner.
pub(super) async fn show(
    State(app): State<AppState>,
    visitor: Visitor,
    PageId(id): PageId<RunnerId>,
) -> UiResult<Response> {
    let shown = read(&app, &visitor, id).await?;
    let life = life::of_runner(&app, &visitor.caller, &shown).await?;
    let requested = shown.runner.status == RunnerStatus::Requested;
    let open_job = shown.events.iter().rev().find_map(|row| row.job_id).filter(|_| requested);
    let rows = with_days_left(&app, vec![RunnerRow::from(shown.runner.clone())]).await?;
    page(&RunnerPage {
        version_end: rows.first().and_then(RunnerRow::version_end),
        frame: Frame::new(&app, &visitor, Section::Runners, shown.runner.runner_name.clone()).await,
        runner: shown.runner,
        life,
        may_act: !visitor.caller.only_reads(),
        open_job,
    })
}

/// Shows the state of a runner alone.
pub(super) async fn state(
    State(app): State<AppState>,
    visitor: Visitor,
    PageId(id): PageId<RunnerId>,
) -> UiResult<Response> {
    let runner = app.operations().visible_runner(&visitor.caller, id).await?;
    page(&StateFragment { runner: runner.into() })
}
