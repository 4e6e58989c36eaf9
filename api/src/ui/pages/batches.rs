//! Progress of one batch, and its stop.

use askama::Template;
use axum::{
    Json,
    extract::{OriginalUri, State},
    response::Response,
};
use domain::{BatchAction, BatchState};
use operations::Actor;
use uuid::Uuid;

use super::input::{PageId, PageParams};
use crate::{
    app::AppState,
    body::{Id, Params},
    caller::SeesAll,
    routes::admin::batch::{
        self, ItemParams,
        view::{BatchItemView, BatchView},
    },
    ui::{AdminVisitor, Frame, OverseeingVisitor, Section, UiResult, UiRoutes, done, page},
};

/// Items on the page.
const SHOWN: usize = 100;

pub(super) fn routes() -> UiRoutes {
    UiRoutes::new()
        .get("/batches/{id}", show)
        .post("/batches/{id}/stop", stop)
        .post("/batches/{id}/resume", resume)
}

/// A batch and its items.
#[derive(Template)]
#[template(path = "batch.html")]
struct BatchPage {
    frame: Frame,
    id: Uuid,
    batch: BatchView,
    items: Vec<Item>,
    /// Number after which the next items come.
    next: Option<i32>,
    /// Path of this page, to load it again.
    path: String,
}

/// One item, with links.
struct Item {
    view: BatchItemView,
    name: String,
    link: Option<String>,
}

impl Item {
    fn new(mut view: BatchItemView) -> Self {
        let (user, runner, team) = (view.email.take(), view.runner_name.take(), view.team_name.take());
        let name = user.or(runner).or(team).unwrap_or_default();
        let link = match (view.user_id, view.runner_id, view.team_id, view.failed_job_id) {
            (Some(id), ..) => Some(format!("/people/{id}")),
            (_, Some(id), ..) => Some(format!("/runners/{id}")),
            (_, _, Some(id), _) => Some(format!("/teams/{id}")),
            (.., Some(id)) => Some(format!("/jobs/{id}")),
            _ => None,
        };
        Self { view, name, link }
    }

    /// Returns the explanation of the outcome.
    fn explanation(&self) -> &str {
        self.view.error.as_deref().or(self.view.detail.as_deref()).unwrap_or_default()
    }
}

impl BatchPage {
    fn heading(&self) -> &'static str {
        match self.batch.action {
            BatchAction::DisableUsers => "Deactivation of people",
            BatchAction::RestoreUsers => "Activation of people",
            BatchAction::DeleteRunners => "Removal of runners",
            BatchAction::DeactivateTeams => "Deactivation of teams",
            BatchAction::ReactivateTeams => "Activation of teams",
            BatchAction::RetryJobs => "Retry of failed jobs",
            BatchAction::DiscardJobs => "Discard of failed jobs",
        }
    }

    fn state(&self) -> &'static str {
        self.batch.state.map_or("preview", BatchState::as_str)
    }

    fn runs(&self) -> bool {
        self.batch.state == Some(BatchState::Running)
    }

    fn is_stopped(&self) -> bool {
        self.batch.state == Some(BatchState::Stopped)
    }

    fn worked_on(&self) -> i64 {
        self.batch.affected_count + self.batch.skipped_count + self.batch.failed_count
    }
}

const fn section(action: BatchAction) -> Section {
    match action {
        BatchAction::DisableUsers | BatchAction::RestoreUsers => Section::People,
        BatchAction::DeleteRunners => Section::Runners,
        BatchAction::DeactivateTeams | BatchAction::ReactivateTeams => Section::Teams,
        BatchAction::RetryJobs | BatchAction::DiscardJobs => Section::Failures,
    }
}

/// Shows a batch.
async fn show(
    State(app): State<AppState>,
    OverseeingVisitor(visitor): OverseeingVisitor,
    PageId(id): PageId<Uuid>,
    PageParams(params): PageParams<ItemParams>,
    OriginalUri(uri): OriginalUri,
) -> UiResult<Response> {
    let seen = SeesAll(visitor.caller.clone());
    let Json(mut batch) = batch::show(State(app.clone()), seen, Id(id), Params(params)).await?;
    let mut items: Vec<Item> = std::mem::take(&mut batch.details).into_iter().map(Item::new).collect();
    let more = items.len() > SHOWN;
    items.truncate(SHOWN);
    let next = items.last().map(|last| last.view.number).filter(|_| more);
    let frame = Frame::new(&app, &visitor, section(batch.action), "Batch").await;
    page(&BatchPage { frame, id, batch, items, next, path: uri.to_string() })
}

/// Stops a batch.
async fn stop(
    State(app): State<AppState>,
    admin: AdminVisitor,
    PageId(id): PageId<Uuid>,
) -> UiResult<Response> {
    app.operations().stop_batch(&admin.admin, id).await?;
    Ok(done(
        &format!("/batches/{id}"),
        "The batch stops after the item that is being worked on. What it changed stays changed.",
    ))
}

/// Lets a stopped batch go on.
async fn resume(
    State(app): State<AppState>,
    admin: AdminVisitor,
    PageId(id): PageId<Uuid>,
) -> UiResult<Response> {
    let actor = Actor { caller: &admin.visitor.caller, origin: &admin.visitor.origin };
    app.operations().resume_batch(actor, &admin.admin, id).await?;
    Ok(done(&format!("/batches/{id}"), "The batch goes on within seconds, in your name."))
}
