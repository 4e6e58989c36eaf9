//! End of sessions: of this one, of one, of all.

use axum::{
    extract::{Path, State},
    http::header,
    response::Response,
};
use domain::Problem;
use operations::Actor;
use uuid::Uuid;

use crate::{
    app::AppState,
    ui::{SignedIn, UiResult, cookies, done, notice},
};

/// Ends the session of this browser.
pub(super) async fn end_this(State(app): State<AppState>, SignedIn(visitor): SignedIn) -> UiResult<Response> {
    let actor = Actor { caller: &visitor.caller, origin: &visitor.origin };
    app.operations().end_session(actor, visitor.session.id).await?;
    Ok(signed_out("/sign-in?reason=signed-out"))
}

/// Ends all sessions of the visitor.
pub(super) async fn end_all(State(app): State<AppState>, SignedIn(visitor): SignedIn) -> UiResult<Response> {
    let actor = Actor { caller: &visitor.caller, origin: &visitor.origin };
    app.operations().end_own_sessions(actor).await?;
    Ok(signed_out("/sign-in?reason=signed-out-everywhere"))
}

/// Ends one session of the visitor.
pub(super) async fn end_one(
    State(app): State<AppState>,
    SignedIn(visitor): SignedIn,
    Path(id): Path<String>,
) -> UiResult<Response> {
    let id: Uuid = id.parse().map_err(|_| Problem::not_found("session"))?;
    let actor = Actor { caller: &visitor.caller, origin: &visitor.origin };
    app.operations().end_session(actor, id).await?;
    if id == visitor.session.id {
        return Ok(signed_out("/sign-in?reason=signed-out"));
    }
    Ok(done("/sessions", "The session has ended."))
}

fn signed_out(to: &str) -> Response {
    let mut response = notice::redirect(to);
    response.headers_mut().append(header::SET_COOKIE, cookies::clear(cookies::SESSION));
    response
}
