//! The one way from a token to an authorised caller. A handler without [`Authorised`] or [`Admin`] is public.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use domain::{Caller, MachineClient, Membership, Problem, ProblemCode, Requester, TokenFacts, User};
use operations::Administrator;
use store::Read;

use crate::{app::App, error::ApiError, origin::From_};

/// A caller with a valid token whom we know, who is active and does not ask too often.
#[derive(Clone, Debug)]
pub(crate) struct Authorised(pub(crate) Caller);

/// An authorised caller who is an admin.
#[derive(Clone, Debug)]
pub(crate) struct Admin(pub(crate) Caller);

/// The permission of an authorised caller who is an admin, for the operations.
#[derive(Clone, Debug)]
pub(crate) struct Administers(pub(crate) Administrator);

/// An authorised caller who is a person. Of teams they see those they belong to, admins all; a machine client knows its
/// team from `/auth/me`, and needs no list of people.
#[derive(Clone, Debug)]
pub(crate) struct ReadsTeams(pub(crate) Caller);

impl FromRequestParts<App> for Authorised {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let token = bearer(&parts.headers)?;
        let facts = app.verifier.verify(token).await?.facts();
        let mut read = app.store.read().await?;
        let caller = identify(&mut read, &facts).await?;
        drop(read);
        app.limiter().admit(caller.requester, parts.extensions.get())?;
        tracing::Span::current().record("caller", tracing::field::display(caller.requester));
        Ok(Self(caller))
    }
}

impl FromRequestParts<App> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let Authorised(caller) = Authorised::from_request_parts(parts, app).await?;
        if caller.is_admin {
            Ok(Self(caller))
        } else {
            Err(Problem::new(ProblemCode::AdminRequired, "This needs an admin.").into())
        }
    }
}

impl FromRequestParts<App> for Administers {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let Admin(caller) = Admin::from_request_parts(parts, app).await?;
        let From_(origin) = From_::from_request_parts(parts, app).await?;
        Ok(Self(Administrator::from_caller(&caller, &origin)?))
    }
}

impl FromRequestParts<App> for ReadsTeams {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
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

/// A person by identity, else a machine client, else a person an admin named by e-mail and who comes for the first time.
async fn identify(read: &mut Read, facts: &TokenFacts) -> Result<Caller, ApiError> {
    if let Some((user, teams)) = read.users().by_identity(&facts.issuer, &facts.subject).await? {
        return Ok(person(user, teams)?);
    }
    let candidates = read.clients().candidates(facts).await?;
    if let Some(client) = facts.choose(&candidates) {
        let team = read.clients().used(client).await?;
        return Ok(machine(client, team)?);
    }
    if read.users().bind(facts).await?.is_some()
        && let Some((user, teams)) = read.users().by_identity(&facts.issuer, &facts.subject).await?
    {
        tracing::info!(user = %user.id, "a person came for the first time and is now known by issuer and subject");
        return Ok(person(user, teams)?);
    }
    tracing::info!(issuer = %facts.issuer, "a valid token of someone unknown");
    Err(Problem::new(
        ProblemCode::UnknownPrincipal,
        "Your token is valid, but nobody here has this identity; ask an admin.",
    )
    .into())
}

fn person(user: User, teams: Vec<Membership>) -> Result<Caller, Problem> {
    if !user.is_active {
        return Err(Problem::new(ProblemCode::Inactive, "This user has been deactivated."));
    }
    let named = || Some(format!("{}#{}", user.issuer.as_deref()?, user.subject.as_deref()?));
    Ok(Caller {
        requester: Requester::User(user.id),
        identity: user.email.clone().or_else(named).unwrap_or_else(|| user.id.to_string()),
        display_name: user.display_name,
        is_admin: user.is_admin,
        can_use_jit: user.can_use_jit,
        can_use_registration_token: user.can_use_registration_token,
        teams,
    })
}

fn machine(client: &MachineClient, team: Membership) -> Result<Caller, Problem> {
    if !client.is_active {
        return Err(Problem::new(ProblemCode::Inactive, "This machine client has been deactivated."));
    }
    Ok(Caller {
        requester: Requester::Client(client.id),
        identity: client.client_id.clone(),
        display_name: client.description.clone(),
        is_admin: false,
        can_use_jit: true,
        // With such a token any number of runners can be registered: it is for people.
        can_use_registration_token: false,
        teams: vec![team],
    })
}
