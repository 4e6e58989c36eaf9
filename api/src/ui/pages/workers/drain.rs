//! Draining of one worker, with a preview of what it runs.

use askama::Template;
use axum::{Json, extract::State, response::Response};
use domain::Problem;
use serde::Deserialize;

use super::WorkerRow;
use crate::{
    app::AppState,
    caller::SeesAll,
    routes::admin::workers,
    ui::{
        AdminVisitor, Frame, Section, UiForm, UiResult, done,
        pages::input::{PageId, Refusal, form_page},
    },
};

/// What a drain ends.
#[derive(Template)]
#[template(path = "workers_drain.html")]
struct DrainPage {
    frame: Frame,
    row: WorkerRow,
    reason: String,
    refusal: Option<Refusal>,
}

/// Form of a drain.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DrainForm {
    reason: String,
}

/// Shows what a drain does.
pub(super) async fn preview(
    State(app): State<AppState>,
    admin: AdminVisitor,
    PageId(name): PageId<String>,
) -> UiResult<Response> {
    confirm(&app, &admin, &name, String::new(), None).await
}

async fn confirm(
    app: &AppState,
    admin: &AdminVisitor,
    name: &str,
    reason: String,
    refusal: Option<Refusal>,
) -> UiResult<Response> {
    let Json(list) = workers::list(State(app.clone()), SeesAll(admin.visitor.caller.clone())).await?;
    let worker = list.workers.into_iter().find(|worker| worker.name == name && worker.alive);
    let worker = worker.ok_or_else(|| Problem::not_found("worker"))?;
    let row = WorkerRow::new(worker, None, app.store.now().await?);
    let frame = Frame::new(app, &admin.visitor, Section::Workers, format!("Drain {name}")).await;
    let shown = DrainPage { frame, row, reason, refusal };
    form_page(&shown, shown.refusal.as_ref())
}

/// Drains a worker.
pub(super) async fn drain(
    State(app): State<AppState>,
    admin: AdminVisitor,
    PageId(name): PageId<String>,
    UiForm(form): UiForm<DrainForm>,
) -> UiResult<Response> {
    let drained = app.operations().drain_worker(&admin.admin, &name, Some(form.reason.trim())).await;
    if let Err(error) = drained {
        let refusal = Refusal::of(error)?;
        return confirm(&app, &admin, &name, form.reason, Some(refusal)).await;
    }
    Ok(done("/workers", format!("Worker {name} ends its jobs and takes no more, within about ten seconds.")))
}
