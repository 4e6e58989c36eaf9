//! Sessions of the visitor, each with a button that ends it.

use askama::Template;
use axum::{extract::State, response::Response};
use chrono::TimeDelta;
use operations::Actor;
use store::SessionRow;
use uuid::Uuid;

use crate::{
    app::AppState,
    ui::{Frame, Section, SignedIn, UiResult, UiRoutes, page},
};

pub(super) fn routes() -> UiRoutes {
    UiRoutes::new().get("/sessions", show)
}

#[derive(Template)]
#[template(path = "sessions.html")]
struct SessionsPage {
    frame: Frame,
    sessions: Vec<SessionRow>,
    current: Uuid,
    idle: TimeDelta,
}

async fn show(State(app): State<AppState>, SignedIn(visitor): SignedIn) -> UiResult<Response> {
    let idle = app.session_idle();
    let actor = Actor { caller: &visitor.caller, origin: &visitor.origin };
    let sessions = app.operations().own_sessions(actor, idle).await?;
    let frame = Frame::new(&app, &visitor, Section::Sessions, "My sessions").await;
    page(&SessionsPage { frame, sessions, current: visitor.session.id, idle })
}
