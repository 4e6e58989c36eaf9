//! Board: depth and age of the queue, and why jobs wait.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use domain::LanePicture;

use crate::{
    app::AppState,
    layers,
    ui::{Frame, Section, UiError, UiResult, UiRoutes, Visitor, notice, page, readable, snapshot::Snapshot},
};

pub(super) fn routes() -> UiRoutes {
    UiRoutes::new().get("/", show)
}

#[derive(Template)]
#[template(path = "board.html")]
struct BoardPage {
    frame: Frame,
    snapshot: Option<Arc<Snapshot>>,
}

impl BoardPage {
    fn lanes(&self) -> Option<&[LanePicture]> {
        Some(&self.snapshot.as_ref()?.picture.queue.as_ref()?.lanes)
    }
}

/// The board of admins and viewers; members begin with their runners. Programs that open `/` find no page.
async fn show(
    State(app): State<AppState>,
    headers: HeaderMap,
    visitor: Result<Visitor, UiError>,
) -> UiResult<Response> {
    if !readable::wants_page(&headers) {
        return Ok(layers::unknown_path().await.into_response());
    }
    let visitor = visitor?;
    if !visitor.caller.sees_everything() {
        return Ok(notice::redirect(Section::Runners.path()));
    }
    let frame = Frame::new(&app, &visitor, Section::Board, "Board").await;
    let snapshot = app.snapshots().get(&app).await;
    page(&BoardPage { frame, snapshot })
}
