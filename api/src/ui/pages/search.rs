//! Search of every page: by the id of a job, a runner or a request, or by the name, label or requester of a runner.

use axum::{extract::State, response::Response};
use domain::{Caller, JobId, RunnerId};
use serde::Deserialize;
use store::Visible;
use url::form_urlencoded;
use uuid::Uuid;

use crate::{
    app::AppState,
    body::Params,
    ui::{UiResult, UiRoutes, Visitor, notice},
};

/// Longest text that is searched for, in characters.
const MAX_TEXT: usize = 100;

pub(super) fn routes() -> UiRoutes {
    UiRoutes::new().get("/search", search)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SearchParams {
    q: Option<String>,
}

/// Opens the job or runner of an id or of a whole name, else the runners that the text names.
async fn search(
    State(app): State<AppState>,
    visitor: Visitor,
    Params(params): Params<SearchParams>,
) -> UiResult<Response> {
    let text: String = params.q.unwrap_or_default().trim().chars().take(MAX_TEXT).collect();
    if text.is_empty() {
        return Ok(notice::redirect("/runners"));
    }
    let caller = &visitor.caller;
    let found = match text.parse::<Uuid>() {
        Ok(id) => match page_of(&app, caller, id).await {
            Some(page) => Some(page),
            None => page_of_request(&app, caller, id).await?,
        },
        Err(_) => named(&app, caller, &text).await?,
    };
    let query: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
    Ok(notice::redirect(&found.unwrap_or_else(|| format!("/runners?q={query}"))))
}

/// Returns the page of the job or runner with this id, if the caller may see it.
async fn page_of(app: &AppState, caller: &Caller, id: Uuid) -> Option<String> {
    let operations = app.operations();
    if operations.visible_job(caller, JobId::from(id)).await.is_ok() {
        return Some(format!("/jobs/{id}"));
    }
    let is_runner = operations.visible_runner(caller, RunnerId::from(id)).await.is_ok();
    is_runner.then(|| format!("/runners/{id}"))
}

/// Returns the page of what a request was about, if the caller may see it.
async fn page_of_request(app: &AppState, caller: &Caller, request: Uuid) -> UiResult<Option<String>> {
    let subject = app.store.conn().await?.audit().subject_of(request).await?;
    let ids = subject.map(|subject| [subject.job.map(Uuid::from), subject.runner.map(Uuid::from)]);
    for id in ids.into_iter().flatten().flatten() {
        if let Some(page) = page_of(app, caller, id).await {
            return Ok(Some(page));
        }
    }
    Ok(None)
}

/// Returns the page of the runner with exactly this name: one that exists, else the newest that is gone.
async fn named(app: &AppState, caller: &Caller, name: &str) -> UiResult<Option<String>> {
    let found = app.store.conn().await?.runners().named(name, &Visible::to(caller)).await?;
    Ok(found.map(|id| format!("/runners/{id}")))
}
