//! The one way from a token to an authorised caller. A handler without [`Authorised`] or [`Admin`] is public.

use axum::{
    extract::{FromRequestParts, MatchedPath},
    http::{HeaderMap, header, request::Parts},
};
use domain::{
    AuditEntry, Caller, MachineClient, Membership, Origin, Problem, ProblemCode, Requester, SecurityEvent,
    Severity, TokenFacts, User,
};
use operations::{Administrator, MAX_SUBJECT_BYTES};
use serde_json::json;
use store::{BindRefusal, Binding};

use crate::{
    app::AppState,
    error::{ApiError, ApiResult},
    limit::RemainingQuota,
    origin::RequestOrigin,
    refusal_log::{self, Refused},
    strangers::{Visit, is_strangers},
};

/// A caller with a valid token whom we know, who is active and does not ask too often. It may learn who it is, and
/// nothing else: a machine client's team may be deactivated.
#[derive(Clone, Debug)]
pub(crate) struct Known(pub(crate) Caller);

/// A known caller whose role allows the method: a viewer only reads, and a machine client of a deactivated team does
/// nothing.
#[derive(Clone, Debug)]
pub(crate) struct Authorised(pub(crate) Caller);

/// An authorised caller who sees everything: an admin or a viewer.
#[derive(Clone, Debug)]
pub(crate) struct SeesAll(pub(crate) Caller);

/// An authorised caller who is an admin.
#[derive(Clone, Debug)]
pub(crate) struct Admin(pub(crate) Caller);

/// The permission of an authorised caller who is an admin, for the operations.
#[derive(Clone, Debug)]
pub(crate) struct Administers(pub(crate) Administrator);

/// An authorised caller who is a person. Of teams they see those they belong to, admins and viewers all; a machine client knows its
/// team from `/auth/me`, and needs no list of people.
#[derive(Clone, Debug)]
pub(crate) struct ReadsTeams(pub(crate) Caller);

impl FromRequestParts<AppState> for Known {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let RequestOrigin(origin) = RequestOrigin::from_request_parts(parts, app).await?;
        let token = bearer(&parts.headers)?;
        let visit = app.strangers().admit(origin.ip, token)?;
        let caller = match authorise(app, (&visit, token), &origin, parts.extensions.get()).await {
            Ok(caller) => caller,
            Err(error) => {
                if is_strangers(&error.0) {
                    app.strangers().count_refusal(&visit);
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
            return Err(refuse(app, parts, (&caller, "viewer.denied"), Problem::read_only()).await);
        }
        if let (Requester::Client(_), [team]) = (caller.requester, caller.teams.as_slice())
            && !team.is_active
        {
            let team = app.store.conn().await?.teams().policy(team.id).await?;
            let reason = team.and_then(|team| team.deactivation_reason);
            return Err(Problem::team_inactive(reason.as_deref()).into());
        }
        Ok(Self(caller))
    }
}

impl FromRequestParts<AppState> for SeesAll {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let Authorised(caller) = Authorised::from_request_parts(parts, app).await?;
        if caller.sees_everything() {
            return Ok(Self(caller));
        }
        Err(refuse(app, parts, (&caller, "admin.denied"), needs_an_admin()).await)
    }
}

fn needs_an_admin() -> Problem {
    Problem::new(ProblemCode::AdminRequired, "This needs an admin.")
}

/// Writes a call down that the caller's role does not allow.
async fn refuse(
    app: &AppState,
    parts: &mut Parts,
    (caller, event_type): (&Caller, &'static str),
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
    refusal_log::note(app, Refused::AdminCall, key, entry, None).await;
    problem.into()
}

/// The caller of a token, counted once against its limit: before any row is read where the token is known already.
async fn authorise(
    app: &AppState,
    (visit, token): (&Visit, &str),
    origin: &Origin,
    left: Option<&RemainingQuota>,
) -> ApiResult<Caller> {
    if let Some(requester) = visit.requester {
        app.limiter().admit(requester, left)?;
    }
    let facts = app.verifier.verify(token).await?.facts();
    let principal = (facts.issuer.as_str(), facts.subject.as_str());
    app.strangers().check(principal)?;
    let identified = identify(app, &facts, origin).await;
    if let Err(ApiError(problem)) = &identified
        && problem.code == ProblemCode::UnknownPrincipal
    {
        app.strangers().remember_unknown(principal, problem);
    }
    let caller = identified?;
    if visit.requester != Some(caller.requester) {
        app.limiter().admit(caller.requester, left)?;
        app.strangers().remember(visit, caller.requester);
    }
    Ok(caller)
}

impl FromRequestParts<AppState> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let Authorised(caller) = Authorised::from_request_parts(parts, app).await?;
        if caller.is_admin {
            if !parts.method.is_safe() {
                app.strangers().forget_unknown();
            }
            return Ok(Self(caller));
        }
        Err(refuse(app, parts, (&caller, "admin.denied"), needs_an_admin()).await)
    }
}

impl FromRequestParts<AppState> for Administers {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let Admin(caller) = Admin::from_request_parts(parts, app).await?;
        let RequestOrigin(origin) = RequestOrigin::from_request_parts(parts, app).await?;
        Ok(Self(Administrator::from_caller(&caller, &origin)?))
    }
}

impl FromRequestParts<AppState> for ReadsTeams {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let Authorised(caller) = Authorised::from_request_parts(parts, app).await?;
        match caller.requester {
            Requester::User(_) => Ok(Self(caller)),
            Requester::Client(_) => {
                Err(Problem::new(ProblemCode::AdminRequired, "This needs a person.").into())
            }
        }
    }
}

/// The token of the one `Authorization: Bearer` header.
fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let missing =
        || Problem::new(ProblemCode::Unauthenticated, "Send `Authorization: Bearer <token>`, once.");
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(missing()) };
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(missing)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim()) } else { Err(missing()) }
}

/// A person by identity, else a person an admin invited by e-mail and who comes for the first time, else a machine client.
async fn identify(app: &AppState, facts: &TokenFacts, origin: &Origin) -> ApiResult<Caller> {
    let known = app.store.conn().await?.users().by_identity(&facts.issuer, &facts.subject).await?;
    if let Some((user, teams)) = known {
        return person(app, facts, origin, (user, teams)).await;
    }
    let refused = match bind(app, facts, origin).await? {
        Bound::Person(user, teams) => return person(app, facts, origin, (user, teams)).await,
        Bound::Refused(user, why) => Some((user, why)),
        Bound::Nobody => None,
    };
    if !facts.is_personal() {
        let mut conn = app.store.conn().await?;
        let candidates = conn.clients().candidates(facts).await?;
        if let Some(client) = facts.choose(&candidates) {
            let team = conn.clients().used(client).await?;
            drop(conn);
            return machine(app, facts, origin, (client, team)).await;
        }
    }
    match refused {
        Some((user, why)) => Err(bind_refused(app, facts, origin, (&user, why)).await),
        None => Err(unknown(app, facts, origin).await),
    }
}

/// What became of the token's e-mail.
enum Bound {
    Person(User, Vec<Membership>),
    Refused(User, BindRefusal),
    Nobody,
}

/// Binds an invited person and writes it down. Of two first requests at once one binds, and the other finds it done.
async fn bind(app: &AppState, facts: &TokenFacts, origin: &Origin) -> ApiResult<Bound> {
    if facts.binding_email.is_none() || facts.subject.len() > MAX_SUBJECT_BYTES {
        return Ok(Bound::Nobody);
    }
    let mut tx = app.store.begin().await?;
    let refused = match tx.users().bind(facts, app.verifier.binding_issuer()).await? {
        Binding::Bound(user) => {
            let entry = AuditEntry {
                requester: Some(Requester::User(user.id)),
                identity: user.email.clone(),
                data: json!({ "user_id": user.id, "email": user.email, "issuer": facts.issuer,
                    "subject": facts.subject, "is_admin": user.is_admin }),
                origin: origin.clone(),
                ..AuditEntry::service("user.bind")
            };
            tx.audit().write(&entry).await?;
            if user.is_admin {
                let event = SecurityEvent {
                    event_type: "admin_bound",
                    severity: Severity::High,
                    action_taken: "none",
                };
                tx.audit().alarm(&event, &entry).await?;
            }
            tracing::info!(user = %user.id, "a person came for the first time and is now known by issuer and subject");
            None
        }
        Binding::NotInvited => return Ok(Bound::Nobody),
        Binding::Refused(user, why) => Some((user, why)),
    };
    tx.commit().await?;
    let known = app.store.conn().await?.users().by_identity(&facts.issuer, &facts.subject).await?;
    Ok(match (known, refused) {
        (Some((user, teams)), _) => Bound::Person(user, teams),
        (None, Some((user, why))) => Bound::Refused(user, why),
        (None, None) => Bound::Nobody,
    })
}

/// Somebody has a token with the e-mail of a person who is bound, deactivated, or invited otherwise.
async fn bind_refused(
    app: &AppState,
    facts: &TokenFacts,
    origin: &Origin,
    (user, why): (&User, BindRefusal),
) -> ApiError {
    let (reason, detail) = match why {
        BindRefusal::BoundAlready => ("bound_already", "belongs to a user who signs in with another subject"),
        BindRefusal::Inactive => ("inactive", "belongs to a user who has been deactivated"),
        BindRefusal::Expired => {
            ("invitation_expired", "was invited more than 30 days ago, and the invitation has expired")
        }
        BindRefusal::OtherIssuer => ("other_issuer", "was invited for another issuer"),
    };
    let problem = Problem::new(
        ProblemCode::UnknownPrincipal,
        format!(
            "Your token is valid, but its e-mail {detail}; ask an admin. Read were {}.",
            facts.describe()
        ),
    );
    let entry = AuditEntry {
        identity: user.email.clone(),
        data: json!({ "user_id": user.id, "is_admin": user.is_admin, "reason": reason, "issuer": facts.issuer }),
        claims: Some(facts.run_claims()),
        error: Some(problem.detail.clone()),
        origin: origin.clone(),
        ..AuditEntry::service("user.bind")
    };
    let severity = if user.is_admin { Severity::High } else { Severity::Medium };
    let event = SecurityEvent { event_type: "user_bind_refused", severity, action_taken: "refused" };
    let key = format!("{} {}#{}", user.id, facts.issuer, facts.subject);
    refusal_log::note(app, Refused::Binding, key, entry, Some(event)).await;
    problem.into()
}

async fn unknown(app: &AppState, facts: &TokenFacts, origin: &Origin) -> ApiError {
    let problem = Problem::new(
        ProblemCode::UnknownPrincipal,
        format!(
            "Your token is valid, but nobody here has this identity; ask an admin. Read were {}.",
            facts.describe()
        ),
    );
    let name = format!("{}#{}", facts.issuer, facts.subject);
    let entry = AuditEntry {
        identity: Some(name.chars().take(500).collect()),
        data: json!({ "issuer": facts.issuer, "email": facts.email }),
        claims: Some(facts.run_claims()),
        error: Some("a valid token of someone unknown".to_owned()),
        origin: origin.clone(),
        ..AuditEntry::service("principal.unknown")
    };
    let event =
        SecurityEvent { event_type: "unknown_principal", severity: Severity::Low, action_taken: "refused" };
    refusal_log::note(app, Refused::UnknownPrincipal, name, entry, Some(event)).await;
    tracing::info!(issuer = %facts.issuer, "a valid token of someone unknown");
    problem.into()
}

async fn inactive(app: &AppState, caller: &Caller, origin: &Origin, what: &str) -> ApiError {
    let problem = Problem::new(ProblemCode::Inactive, format!("This {what} has been deactivated."));
    let entry = AuditEntry {
        error: Some(problem.detail.clone()),
        ..AuditEntry::by(caller, origin, "principal.inactive")
    };
    let event = SecurityEvent {
        event_type: "inactive_principal",
        severity: Severity::Medium,
        action_taken: "refused",
    };
    refusal_log::note(app, Refused::InactivePrincipal, caller.requester.to_string(), entry, Some(event))
        .await;
    problem.into()
}

async fn person(
    app: &AppState,
    facts: &TokenFacts,
    origin: &Origin,
    (user, teams): (User, Vec<Membership>),
) -> ApiResult<Caller> {
    let named = || Some(format!("{}#{}", user.issuer.as_deref()?, user.subject.as_deref()?));
    let caller = Caller {
        requester: Requester::User(user.id),
        identity: user.email.clone().or_else(named).unwrap_or_else(|| user.id.to_string()),
        principal: facts.principal(),
        email: user.email,
        claims: None,
        display_name: user.display_name,
        is_admin: user.is_admin,
        is_viewer: user.is_viewer,
        can_use_jit: user.can_use_jit,
        can_use_registration_token: user.can_use_registration_token,
        teams,
    };
    if user.is_active { Ok(caller) } else { Err(inactive(app, &caller, origin, "user").await) }
}

async fn machine(
    app: &AppState,
    facts: &TokenFacts,
    origin: &Origin,
    (client, team): (&MachineClient, Membership),
) -> ApiResult<Caller> {
    let caller = Caller {
        requester: Requester::Client(client.id),
        identity: client.client_id.clone(),
        principal: facts.principal(),
        email: None,
        claims: Some(facts.run_claims()),
        display_name: client.description.clone(),
        is_admin: false,
        is_viewer: false,
        can_use_jit: true,
        // With such a token any number of runners can be registered: it is for people.
        can_use_registration_token: false,
        teams: vec![team],
    };
    if client.is_active { Ok(caller) } else { Err(inactive(app, &caller, origin, "machine client").await) }
}
