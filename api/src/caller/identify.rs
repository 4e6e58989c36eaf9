//! Identification of the user or machine client that a verified token belongs to.

use domain::{
    AuditEntry, Caller, MachineClient, Membership, Origin, Problem, ProblemCode, SecurityEvent, Severity,
    TokenFacts, User,
};
use operations::Refused;
use serde_json::json;

use super::binding::{BindingOutcome, bind, refuse_binding};
use crate::{
    app::AppState,
    error::{ApiError, ApiResult},
};

/// Finds a user by principal, else binds an invited user at their first sign-in, else finds a machine client.
pub(super) async fn identify(app: &AppState, facts: &TokenFacts, origin: &Origin) -> ApiResult<Caller> {
    let known = app.store.conn().await?.users().by_identity(&facts.issuer, &facts.subject).await?;
    if let Some((user, teams)) = known {
        return user_caller(app, facts, origin, user, teams).await;
    }
    let refused = match bind(app, facts, origin).await? {
        BindingOutcome::Person(user, teams) => return user_caller(app, facts, origin, user, teams).await,
        BindingOutcome::Refused(user, refusal) => Some((user, refusal)),
        BindingOutcome::NotFound => None,
    };
    if !facts.is_personal() {
        let mut conn = app.store.conn().await?;
        let candidates = conn.clients().candidates(facts).await?;
        if let Some(client) = facts.choose(&candidates.clients) {
            let team = conn.clients().record_candidate(&candidates, client).await?;
            drop(conn);
            return client_caller(app, facts, origin, client, team).await;
        }
    }
    match refused {
        Some((user, refusal)) => Err(refuse_binding(app, facts, origin, &user, refusal).await),
        None => Err(refuse_unknown(app, facts, origin).await),
    }
}

/// Returns the person that a verified token of a sign-in belongs to, as [`identify`] finds them.
///
/// # Errors
/// As for a bearer token; `unknown_principal` for a machine client.
pub(crate) async fn identify_person(
    app: &AppState,
    facts: &TokenFacts,
    origin: &Origin,
) -> ApiResult<Caller> {
    let principal = facts.principal();
    app.pre_auth().check(&principal)?;
    let identified = identify(app, facts, origin).await;
    if let Err(ApiError(problem)) = &identified
        && problem.code == ProblemCode::UnknownPrincipal
    {
        app.pre_auth().remember_unknown(&principal, problem);
    }
    let caller = identified?;
    if caller.requester.user().is_none() {
        let detail = "The dashboard is for people; a machine client calls the API with its token.";
        return Err(Problem::new(ProblemCode::UnknownPrincipal, detail).into());
    }
    Ok(caller)
}

async fn refuse_unknown(app: &AppState, facts: &TokenFacts, origin: &Origin) -> ApiError {
    let problem = Problem::new(
        ProblemCode::UnknownPrincipal,
        format!(
            "Your token is valid, but no user or machine client has this identity; ask an admin. Read from the token: {}.",
            facts.describe()
        ),
    );
    let name = format!("{}#{}", facts.issuer, facts.subject);
    let entry = AuditEntry {
        identity: Some(name.chars().take(500).collect()),
        subject: Some(facts.subject.clone()),
        data: json!({ "issuer": facts.issuer, "email": facts.email }),
        claims: Some(facts.run_claims()),
        error: Some("valid token of an unknown principal".to_owned()),
        origin: origin.clone(),
        ..AuditEntry::service("principal.unknown")
    };
    let event =
        SecurityEvent { event_type: "unknown_principal", severity: Severity::Low, action_taken: "refused" };
    app.record_unauthorised(Refused::UnknownPrincipal, name, entry, Some(event)).await;
    tracing::info!(issuer = %facts.issuer, "valid token of an unknown principal");
    problem.into()
}

async fn refuse_inactive(app: &AppState, caller: &Caller, origin: &Origin, kind: &str) -> ApiError {
    let problem =
        Problem::new(ProblemCode::Inactive, format!("This {kind} has been deactivated; ask an admin."));
    let entry = AuditEntry {
        error: Some(problem.detail.clone()),
        ..AuditEntry::by(caller, origin, "principal.inactive")
    };
    let event = SecurityEvent {
        event_type: "inactive_principal",
        severity: Severity::Medium,
        action_taken: "refused",
    };
    app.record_unauthorised(Refused::InactivePrincipal, caller.requester.to_string(), entry, Some(event))
        .await;
    problem.into()
}

async fn user_caller(
    app: &AppState,
    facts: &TokenFacts,
    origin: &Origin,
    user: User,
    teams: Vec<Membership>,
) -> ApiResult<Caller> {
    let is_active = user.is_active;
    let caller = Caller::of_user(user, facts.principal(), teams);
    if is_active { Ok(caller) } else { Err(refuse_inactive(app, &caller, origin, "user").await) }
}

async fn client_caller(
    app: &AppState,
    facts: &TokenFacts,
    origin: &Origin,
    client: &MachineClient,
    team: Membership,
) -> ApiResult<Caller> {
    let known = Caller::of_client(client, facts.principal(), team);
    let caller = Caller { claims: Some(facts.run_claims()), ..known };
    if client.is_active {
        Ok(caller)
    } else {
        Err(refuse_inactive(app, &caller, origin, "machine client").await)
    }
}
