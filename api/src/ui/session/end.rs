//! End of sessions: of this one, of one, of all.

use axum::{
    extract::{Path, State},
    http::header,
    response::Response,
};
use domain::Problem;
use operations::Actor;
use url::form_urlencoded::Serializer;
use uuid::Uuid;

use crate::{
    app::AppState,
    ui::{SignedIn, UiResult, Visitor, cookies, done, notice},
};

/// Ends the session of this browser.
pub(super) async fn end_this(State(app): State<AppState>, SignedIn(visitor): SignedIn) -> UiResult<Response> {
    let actor = Actor { caller: &visitor.caller, origin: &visitor.origin };
    app.operations().end_session(actor, visitor.session.id).await?;
    Ok(signed_out("signed-out", &visitor))
}

/// Ends all sessions of the visitor.
pub(super) async fn end_all(State(app): State<AppState>, SignedIn(visitor): SignedIn) -> UiResult<Response> {
    let actor = Actor { caller: &visitor.caller, origin: &visitor.origin };
    app.operations().end_own_sessions(actor).await?;
    Ok(signed_out("signed-out-everywhere", &visitor))
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
        return Ok(signed_out("signed-out", &visitor));
    }
    Ok(done("/sessions", "The session has ended."))
}

/// Sends the browser to the sign-in, which offers to sign out at the issuer of the session too.
fn signed_out(reason: &str, visitor: &Visitor) -> Response {
    let issuer = &visitor.session.principal.issuer;
    let query =
        Serializer::new(String::new()).append_pair("reason", reason).append_pair("issuer", issuer).finish();
    let mut response = notice::redirect(&format!("/sign-in?{query}"));
    response.headers_mut().append(header::SET_COOKIE, cookies::clear(cookies::SESSION));
    response
}
