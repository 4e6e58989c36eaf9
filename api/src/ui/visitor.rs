//! Extractors of visitors, the only way from a cookie to a caller.

use std::time::Duration;

use axum::{extract::FromRequestParts, http::request::Parts};
use domain::{Caller, Origin, Problem, ProblemCode};
use operations::Administrator;
use store::SessionRow;
use tokio::time::{error::Elapsed, timeout};

use super::{
    cookies,
    error::{UiError, UiResult},
    notice, random,
};
use crate::{
    app::AppState,
    caller::{ActingAdmin, record_refusal},
    origin::RequestOrigin,
};

/// Longest time to look a session up. A page about a database that is away must come within a second.
const MAX_LOOKUP: Duration = Duration::from_millis(700);
/// Longest time until a stream's session is looked up, its turn included.
const MAX_STREAM_LOOKUP: Duration = Duration::from_secs(10);

/// A signed-in, active person whose role allows the method: a viewer only reads.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    pub(crate) caller: Caller,
    pub(crate) origin: Origin,
    pub(super) session: SessionRow,
    pub(super) notice: Option<String>,
    /// Path and query of the request.
    pub(super) path: String,
    /// Whether this browser has stopped its live data.
    pub(super) is_paused: bool,
}

/// A signed-in person of any role, for what they do with their own sessions.
#[derive(Clone, Debug)]
pub(crate) struct SignedIn(pub(crate) Visitor);

/// A visitor who sees everything: an admin or a viewer.
#[derive(Clone, Debug)]
pub(crate) struct OverseeingVisitor(pub(crate) Visitor);

/// A visitor who sees everything and opens a stream. After a restart all tabs connect again at once, so their sessions
/// are looked up a few at a time, and pages do not wait behind them.
#[derive(Clone, Debug)]
pub(crate) struct StreamVisitor(pub(crate) Visitor);

/// A visitor who is an admin, with the permission for the operations.
#[derive(Clone, Debug)]
pub(crate) struct AdminVisitor {
    pub(crate) visitor: Visitor,
    pub(crate) admin: Administrator,
}

impl AdminVisitor {
    /// Returns the visitor as an admin who calls the API.
    pub(crate) fn acting(&self) -> ActingAdmin {
        let Visitor { caller, origin, .. } = &self.visitor;
        ActingAdmin { caller: caller.clone(), permission: self.admin.clone(), origin: origin.clone() }
    }
}

/// Kind of a request, by which the look-up of its session waits.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Page,
    Stream,
}

impl SignedIn {
    async fn read(parts: &mut Parts, app: &AppState, kind: Kind) -> UiResult<Self> {
        let RequestOrigin(origin) = RequestOrigin::from_request_parts(parts, app).await?;
        let Some(cookie) = cookies::read(&parts.headers, cookies::SESSION) else {
            return Err(UiError::needs_session(parts, false));
        };
        let attempt = app.pre_auth().admit(origin.ip, cookie)?;
        if let Some(requester) = attempt.requester {
            app.limiter().admit_page(requester)?;
        }
        let found = match kind {
            Kind::Page => timeout(MAX_LOOKUP, find(app, cookie)).await,
            Kind::Stream => find_in_turn(app, cookie).await,
        };
        let found = found
            .map_err(|_| database_away(app))?
            .map_err(|error| if error.is_database_away() { database_away(app).into() } else { error })?;
        app.snapshots().note_database();
        let Some((session, caller)) = found else {
            app.pre_auth().count_refusal(&attempt);
            return Err(UiError::needs_session(parts, true));
        };
        if attempt.requester != Some(caller.requester) {
            app.limiter().admit_page(caller.requester)?;
            app.pre_auth().remember(&attempt, caller.requester);
        }
        tracing::Span::current().record("caller", tracing::field::display(caller.requester));
        Ok(Self(Visitor {
            caller,
            origin,
            session,
            notice: notice::read(&parts.headers),
            path: parts.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
            is_paused: cookies::read(&parts.headers, cookies::PAUSED).is_some(),
        }))
    }
}

impl FromRequestParts<AppState> for SignedIn {
    type Rejection = UiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> UiResult<Self> {
        Self::read(parts, app, Kind::Page).await
    }
}

fn database_away(app: &AppState) -> Problem {
    let seen = app.snapshots().database_seen();
    let since = seen.map_or_else(String::new, |seen| format!(" since {}", seen.format("%H:%M:%S UTC")));
    let detail = format!(
        "The database has not answered{since}, so this page cannot be shown and no request is accepted. Runners that \
        are online go on working. Try again shortly; operators find the state at /health."
    );
    Problem::new(ProblemCode::DatabaseUnavailable, detail).retry_after(5)
}

/// Returns the open session of a cookie, and the person with today's rights. A session ends when its person is
/// deactivated or bound to another principal, or its issuer is blocked.
pub(super) async fn find(app: &AppState, cookie: &str) -> UiResult<Option<(SessionRow, Caller)>> {
    let mut conn = app.store.conn().await?;
    let Some(session) = conn.sessions().find(&random::hash(cookie), app.session_idle()).await? else {
        return Ok(None);
    };
    let principal = session.principal.clone();
    let known = conn.users().by_identity(&principal.issuer, &principal.subject).await?;
    let known = known.filter(|(user, _)| user.id == session.user && user.is_active);
    Ok(known.map(|(user, teams)| (session, Caller::of_user(user, principal, teams))))
}

/// Looks a session up for a stream, once it is its turn.
pub(super) async fn find_in_turn(
    app: &AppState,
    cookie: &str,
) -> Result<UiResult<Option<(SessionRow, Caller)>>, Elapsed> {
    timeout(MAX_STREAM_LOOKUP, async {
        let _turn = app.live().turn().await;
        find(app, cookie).await
    })
    .await
}

impl FromRequestParts<AppState> for Visitor {
    type Rejection = UiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> UiResult<Self> {
        let SignedIn(visitor) = SignedIn::from_request_parts(parts, app).await?;
        if visitor.caller.only_reads() && !parts.method.is_safe() {
            let problem = Problem::read_only();
            return Err(record_refusal(app, parts, &visitor.caller, "viewer.denied", problem).await.into());
        }
        Ok(visitor)
    }
}

impl FromRequestParts<AppState> for OverseeingVisitor {
    type Rejection = UiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> UiResult<Self> {
        overseeing(Visitor::from_request_parts(parts, app).await?, parts, app).await.map(Self)
    }
}

impl FromRequestParts<AppState> for StreamVisitor {
    type Rejection = UiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> UiResult<Self> {
        let SignedIn(visitor) = SignedIn::read(parts, app, Kind::Stream).await?;
        overseeing(visitor, parts, app).await.map(Self)
    }
}

/// Returns the visitor if they see everything.
async fn overseeing(visitor: Visitor, parts: &mut Parts, app: &AppState) -> UiResult<Visitor> {
    if visitor.caller.sees_everything() {
        return Ok(visitor);
    }
    let detail = "This page is for admins and viewers; ask an admin of this service.";
    let problem = Problem::new(ProblemCode::AdminRequired, detail);
    Err(record_refusal(app, parts, &visitor.caller, "admin.denied", problem).await.into())
}

impl FromRequestParts<AppState> for AdminVisitor {
    type Rejection = UiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> UiResult<Self> {
        let visitor = Visitor::from_request_parts(parts, app).await?;
        if !visitor.caller.is_admin {
            let detail = "This is for admins; ask an admin of this service.";
            let problem = Problem::new(ProblemCode::AdminRequired, detail);
            return Err(record_refusal(app, parts, &visitor.caller, "admin.denied", problem).await.into());
        }
        if !parts.method.is_safe() {
            app.pre_auth().forget_unknown();
        }
        let admin = Administrator::from_caller(&visitor.caller, &visitor.origin)?;
        Ok(Self { visitor, admin })
    }
}
