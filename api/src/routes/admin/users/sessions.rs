//! Sessions of a person in the dashboard, as admins see and end them. No answer has a cookie or its hash.

use axum::{Json, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use domain::UserId;
use operations::Viewer;
use serde::Serialize;
use store::SessionRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::super::Comment;
use crate::{
    app::AppState,
    body::{Body, Id, Ids},
    caller::{Administers, SeesAll},
    error::ApiResult,
    openapi::problems,
};

problems! {
    ListProblems: AdminRequired, NotFound;
    EndProblems: MalformedBody, AdminRequired, NotFound, PayloadTooLarge, UnsupportedMediaType, ValidationFailed;
}

/// A browser that is signed in.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DashboardSession)]
pub(crate) struct SessionView {
    /// Id of the session.
    id: Uuid,
    /// Issuer over which the person signed in.
    issuer: String,
    /// Time of the sign-in.
    created_at: DateTime<Utc>,
    /// Time of the last request, precise to the minute.
    last_seen_at: DateTime<Utc>,
    /// Time at which it ends although it is used.
    expires_at: DateTime<Utc>,
    /// Client address of the sign-in.
    request_ip: Option<String>,
    /// User agent of the sign-in.
    user_agent: Option<String>,
}

impl From<SessionRow> for SessionView {
    fn from(row: SessionRow) -> Self {
        Self {
            id: row.id,
            issuer: row.principal.issuer,
            created_at: row.created_at,
            last_seen_at: row.seen_at,
            expires_at: row.expires_at,
            request_ip: row.ip,
            user_agent: row.user_agent,
        }
    }
}

/// The open sessions of a person.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DashboardSessionList)]
pub(crate) struct SessionList {
    /// Newest first, at most ten.
    sessions: Vec<SessionView>,
}

/// Number of sessions that were ended.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EndedSessions {
    /// Sessions that could be used until now.
    ended_count: usize,
}

/// List the open dashboard sessions of a user.
///
/// For admins and viewers.
#[utoipa::path(
    get, path = "/admin/users/{user_id}/sessions", tag = "admin", params(("user_id" = Uuid, Path)),
    responses((status = 200, description = "Newest first", body = SessionList), ListProblems),
)]
pub(crate) async fn list(
    State(app): State<AppState>,
    SeesAll(caller): SeesAll,
    Id(id): Id<UserId>,
) -> ApiResult<Json<SessionList>> {
    let permission = Viewer::from_caller(&caller)?;
    let rows = app.operations().sessions_of(permission, id, app.session_idle()).await?;
    Ok(Json(SessionList { sessions: rows.into_iter().map(SessionView::from).collect() }))
}

/// End all dashboard sessions of a user.
///
/// Their pages and streams end at once. The user keeps their access and may sign in again: `DELETE
/// /admin/users/{user_id}` ends the access. Tokens that their command line or scripts hold are not concerned.
#[utoipa::path(
    delete, path = "/admin/users/{user_id}/sessions", tag = "admin", params(("user_id" = Uuid, Path)),
    request_body = Option<Comment>,
    responses((status = 200, description = "Ended", body = EndedSessions), EndProblems),
)]
pub(crate) async fn end_all(
    State(app): State<AppState>,
    Administers(admin): Administers,
    Id(id): Id<UserId>,
    body: Option<Body<Comment>>,
) -> ApiResult<Json<EndedSessions>> {
    let comment = Comment::of(body);
    let ended_count =
        app.operations().end_sessions_of(&admin, id, app.session_idle(), comment.as_deref()).await?;
    Ok(Json(EndedSessions { ended_count }))
}

/// End one dashboard session of a user.
///
/// Its pages and streams end at once; the other sessions go on.
#[utoipa::path(
    delete, path = "/admin/users/{user_id}/sessions/{session_id}", tag = "admin",
    params(("user_id" = Uuid, Path), ("session_id" = Uuid, Path)), request_body = Option<Comment>,
    responses((status = 204, description = "Ended"), EndProblems),
)]
pub(crate) async fn end_one(
    State(app): State<AppState>,
    Administers(admin): Administers,
    Ids(user, session): Ids<UserId, Uuid>,
    body: Option<Body<Comment>>,
) -> ApiResult<StatusCode> {
    app.operations().end_session_of(&admin, user, session, Comment::of(body).as_deref()).await?;
    Ok(StatusCode::NO_CONTENT)
}
