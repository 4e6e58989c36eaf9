//! Search of every page: by id, or by the name, label or requester of a runner.

use axum::{extract::State, response::Response};
use domain::{JobId, RunnerId};
use serde::Deserialize;
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

/// Opens the job or runner of an id, else the runners that the text names.
async fn search(
    State(app): State<AppState>,
    visitor: Visitor,
    Params(params): Params<SearchParams>,
) -> UiResult<Response> {
    let text: String = params.q.unwrap_or_default().trim().chars().take(MAX_TEXT).collect();
    if text.is_empty() {
        return Ok(notice::redirect("/runners"));
    }
    if let Ok(id) = text.parse::<Uuid>() {
        let operations = app.operations();
        if operations.visible_job(&visitor.caller, JobId::from(id)).await.is_ok() {
            return Ok(notice::redirect(&format!("/jobs/{id}")));
        }
        if operations.visible_runner(&visitor.caller, RunnerId::from(id)).await.is_ok() {
            return Ok(notice::redirect(&format!("/runners/{id}")));
        }
    }
    let query: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
    Ok(notice::redirect(&format!("/runners?q={query}")))
}
