//! Extractors of authorised callers, the only way from a token to a caller. A handler without one of them is public.

mod binding;
mod identify;

use axum::{
    extract::{FromRequestParts, MatchedPath},
    http::{HeaderMap, header, request::Parts},
};
use domain::{AuditEntry, Caller, Origin, Problem, ProblemCode, Requester};
use operations::{Actor, Administrator, Refused};
use serde_json::json;

use self::identify::identify;
pub(crate) use self::identify::identify_person;
use crate::{
    app::AppState,
    error::{ApiError, ApiResult},
    limit::RemainingQuota,
    origin::RequestOrigin,
    pre_auth::{AuthAttempt, is_unknown_sender},
};

/// A caller with a valid token of a known, active principal, within its rate limit. It may only see its own identity: a
/// machine client's team may be deactivated.
#[derive(Clone, Debug)]
pub(crate) struct Known(pub(crate) Caller);

/// A known caller whose role allows the method. A viewer only reads; a machine client of a deactivated team may do
/// nothing.
#[derive(Clone, Debug)]
pub(crate) struct Authorised(pub(crate) Caller);

/// A known caller of any role, for a call that only reads although its method is POST. A machine client of a deactivated
/// team may do nothing.
#[derive(Clone, Debug)]
pub(crate) struct Reads(pub(crate) Caller);

/// A caller who sees everything, for a call that only reads although its method is POST.
#[derive(Clone, Debug)]
pub(crate) struct SeesAllByPost(pub(crate) Caller);

/// An authorised caller who sees everything: an admin or a viewer.
#[derive(Clone, Debug)]
pub(crate) struct SeesAll(pub(crate) Caller);

/// Permission of an authorised caller who is an admin, for the operations.
#[derive(Clone, Debug)]
pub(crate) struct Administers(pub(crate) Administrator);

/// An authorised caller who is an admin, with the permission, for operations that go on in the caller's name.
#[derive(Clone, Debug)]
pub(crate) struct ActingAdmin {
    pub(crate) caller: Caller,
    pub(crate) permission: Administrator,
    pub(crate) origin: Origin,
}

impl ActingAdmin {
    /// Returns the caller and the request it sent.
    pub(crate) const fn actor(&self) -> Actor<'_> {
        Actor { caller: &self.caller, origin: &self.origin }
    }
}

/// An authorised caller who is a person. Admins and viewers see all teams, other people their own. A machine client
/// learns its team from `/auth/me` and needs no list of people.
#[derive(Clone, Debug)]
pub(crate) struct ReadsTeams(pub(crate) Caller);

impl FromRequestParts<AppState> for Known {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let RequestOrigin(origin) = RequestOrigin::from_request_parts(parts, app).await?;
        let token = bearer_token(&parts.headers)?;
        let attempt = app.pre_auth().admit(origin.ip, token)?;
        let caller = match authorise(app, &attempt, token, &origin, parts.extensions.get()).await {
            Ok(caller) => caller,
            Err(error) => {
                if is_unknown_sender(&error.0) {
                    app.pre_auth().count_refusal(&attempt);
                }
                return Err(error);
            }
        };
        tracing::Span::current().record("caller", tracing::field::display(caller.requester));
        Ok(Self(caller))
    }
}

impl FromRequestParts<AppState> for Authorised {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let Known(caller) = Known::from_request_parts(parts, app).await?;
        if caller.only_reads() && !parts.method.is_safe() {
            return Err(record_refusal(app, parts, &caller, "viewer.denied", Problem::read_only()).await);
        }
        refuse_inactive_team(app, &caller).await?;
        Ok(Self(caller))
    }
}

/// Refuses a machine client whose team is deactivated.
async fn refuse_inactive_team(app: &AppState, caller: &Caller) -> ApiResult<()> {
    if let (Requester::Client(_), [team]) = (caller.requester, caller.teams.as_slice())
        && !team.is_active
    {
        let team = app.store.conn().await?.teams().basics(team.id).await?;
        let reason = team.and_then(|team| team.deactivation_reason);
        return Err(Problem::team_inactive(reason.as_deref()).into());
    }
    Ok(())
}

impl FromRequestParts<AppState> for Reads {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let Known(caller) = Known::from_request_parts(parts, app).await?;
        refuse_inactive_team(app, &caller).await?;
        Ok(Self(caller))
    }
}

impl FromRequestParts<AppState> for SeesAllByPost {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let Reads(caller) = Reads::from_request_parts(parts, app).await?;
        if caller.sees_everything() {
            return Ok(Self(caller));
        }
        Err(record_refusal(app, parts, &caller, "admin.denied", admin_required()).await)
    }
}

impl FromRequestParts<AppState> for SeesAll {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let Authorised(caller) = Authorised::from_request_parts(parts, app).await?;
        if caller.sees_everything() {
            return Ok(Self(caller));
        }
        Err(record_refusal(app, parts, &caller, "admin.denied", admin_required()).await)
    }
}

fn admin_required() -> Problem {
    Problem::new(ProblemCode::AdminRequired, "Only admins may make this call; ask an admin of this service.")
}

/// Records a call that the caller's role does not allow.
pub(crate) async fn record_refusal(
    app: &AppState,
    parts: &mut Parts,
    caller: &Caller,
    event_type: &'static str,
    problem: Problem,
) -> ApiError {
    let origin = match RequestOrigin::from_request_parts(parts, app).await {
        Ok(RequestOrigin(origin)) => origin,
        Err(error) => return error,
    };
    let path = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let entry = AuditEntry {
        data: json!({ "method": parts.method.as_str(), "path": path }),
        error: Some(problem.detail.clone()),
        ..AuditEntry::by(caller, &origin, event_type)
    };
    let key = format!("{} {} {path}", caller.requester, parts.method);
    app.record_unauthorised(Refused::AdminCall, key, entry, None).await;
    problem.into()
}

/// Returns the caller of a token and counts the request once against its limit. For a known token this happens before
/// any row is read.
async fn authorise(
    app: &AppState,
    attempt: &AuthAttempt,
    token: &str,
    origin: &Origin,
    quota: Option<&RemainingQuota>,
) -> ApiResult<Caller> {
    if let Some(requester) = attempt.requester {
        app.limiter().admit(requester, quota)?;
    }
    let facts = app.verifier.verify(token).await?.facts();
    let principal = facts.principal();
    app.pre_auth().check(&principal)?;
    let identified = identify(app, &facts, origin).await;
    if let Err(ApiError(problem)) = &identified
        && problem.code == ProblemCode::UnknownPrincipal
    {
        app.pre_auth().remember_unknown(&principal, problem);
    }
    let caller = identified?;
    if attempt.requester != Some(caller.requester) {
        app.limiter().admit(caller.requester, quota)?;
        app.pre_auth().remember(attempt, caller.requester);
    }
    Ok(caller)
}

impl FromRequestParts<AppState> for Administers {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let ActingAdmin { permission, .. } = ActingAdmin::from_request_parts(parts, app).await?;
        Ok(Self(permission))
    }
}

impl FromRequestParts<AppState> for ActingAdmin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let Authorised(caller) = Authorised::from_request_parts(parts, app).await?;
        if !caller.is_admin {
            return Err(record_refusal(app, parts, &caller, "admin.denied", admin_required()).await);
        }
        if !parts.method.is_safe() {
            app.pre_auth().forget_unknown();
        }
        let RequestOrigin(origin) = RequestOrigin::from_request_parts(parts, app).await?;
        Ok(Self { permission: Administrator::from_caller(&caller, &origin)?, caller, origin })
    }
}

impl FromRequestParts<AppState> for ReadsTeams {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let Authorised(caller) = Authorised::from_request_parts(parts, app).await?;
        match caller.requester {
            Requester::User(_) => Ok(Self(caller)),
            Requester::Client(_) => Err(Problem::new(
                ProblemCode::AdminRequired,
                "This call is for people, not for machine clients; make it with the token of a person.",
            )
            .into()),
        }
    }
}

/// Returns the token of the one `Authorization: Bearer` header.
pub(crate) fn bearer_token(headers: &HeaderMap) -> Result<&str, Problem> {
    let missing =
        || Problem::new(ProblemCode::Unauthenticated, "Send one `Authorization: Bearer <token>` header.");
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(missing()) };
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(missing)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim()) } else { Err(missing()) }
}
