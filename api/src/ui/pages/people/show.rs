//! One person: identity, rights, teams, and the actions on their account.

use askama::Template;
use axum::{extract::State, response::Response};
use chrono::TimeDelta;
use domain::{Membership, Problem, Requester, User, UserId};
use operations::Viewer;
use store::SessionRow;
use uuid::Uuid;

use crate::{
    app::AppState,
    body::Params,
    caller::Authorised,
    lists::ListSource,
    routes::{
        admin::users::UserView,
        audit::{self, AuditParams, AuditView},
    },
    ui::{Frame, OverseeingVisitor, Section, UiResult, page, pages::input::PageId},
};

/// Newest audit rows of a person that their page shows.
const RECENT: i64 = 10;

/// A person.
#[derive(Template)]
#[template(path = "person.html")]
struct PersonPage {
    frame: Frame,
    person: UserView,
    teams: Vec<Membership>,
    is_last_admin: bool,
    is_self: bool,
    sessions: Vec<SessionRow>,
    /// Session of the visitor.
    current: Uuid,
    /// Time after whose last use a session ends.
    idle: TimeDelta,
    rows: Vec<AuditView>,
}

/// Shows a person.
pub(super) async fn show(
    State(app): State<AppState>,
    OverseeingVisitor(visitor): OverseeingVisitor,
    PageId(id): PageId<UserId>,
) -> UiResult<Response> {
    let mut conn = app.store.conn().await?;
    let user = conn.users().get(id).await?.ok_or_else(|| Problem::not_found("user"))?;
    let teams = conn.permissions().teams(Requester::User(id)).await?;
    drop(conn);
    let (seen, idle) = (Viewer::from_caller(&visitor.caller)?, app.session_idle());
    let sessions = app.operations().sessions_of(seen, id, idle).await?;
    let is_last_admin = app.operations().is_last_admin(&user).await?;
    let principal = |user: &User| Some(format!("{}#{}", user.issuer.as_deref()?, user.subject.as_deref()?));
    let identity = user.email.clone().or_else(|| principal(&user)).unwrap_or_else(|| id.to_string());
    let person = UserView::from(user);
    let recent = AuditParams { user: Some(identity), limit: Some(RECENT), ..AuditParams::default() };
    let caller = Authorised(visitor.caller.clone());
    let rows =
        audit::list(State(app.clone()), ListSource::Primary, caller, Params(recent)).await?.into_body().logs;
    page(&PersonPage {
        frame: Frame::new(&app, &visitor, Section::People, person.shown_name().to_owned()).await,
        sessions,
        current: visitor.session.id,
        idle,
        is_self: visitor.caller.requester.user() == Some(id),
        person,
        teams,
        is_last_admin,
        rows,
    })
}
