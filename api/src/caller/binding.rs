//! Binding of an invited user to the principal of their first sign-in.

use domain::{
    AuditEntry, Membership, Origin, Problem, ProblemCode, Requester, SecurityEvent, Severity, TokenFacts,
    User,
};
use operations::{MAX_SUBJECT_BYTES, Refused};
use serde_json::json;
use store::{BindRefusal, Binding};

use crate::{
    app::AppState,
    error::{ApiError, ApiResult},
};

/// Result of binding the token's e-mail.
pub(super) enum BindingOutcome {
    Person(User, Vec<Membership>),
    Refused(User, BindRefusal),
    NotFound,
}

/// Binds an invited user and writes the audit row. Of two concurrent first requests one binds, and the other finds the
/// user bound.
pub(super) async fn bind(app: &AppState, facts: &TokenFacts, origin: &Origin) -> ApiResult<BindingOutcome> {
    if facts.binding_email.is_none() || facts.subject.len() > MAX_SUBJECT_BYTES {
        return Ok(BindingOutcome::NotFound);
    }
    let mut tx = app.store.begin().await?;
    if tx.incidents().is_blocked(&facts.issuer).await? {
        return Ok(BindingOutcome::NotFound);
    }
    let refused = match tx.users().bind(facts, app.verifier.binding_issuer()).await? {
        Binding::Bound(user) => {
            let entry = AuditEntry {
                requester: Some(Requester::User(user.id)),
                identity: user.email.clone(),
                subject: Some(facts.subject.clone()),
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
            tracing::info!(user = %user.id, "user bound to issuer and subject at the first sign-in");
            None
        }
        Binding::NotInvited => return Ok(BindingOutcome::NotFound),
        Binding::Refused(user, refusal) => Some((user, refusal)),
    };
    tx.commit().await?;
    let known = app.store.conn().await?.users().by_identity(&facts.issuer, &facts.subject).await?;
    Ok(match (known, refused) {
        (Some((user, teams)), _) => BindingOutcome::Person(user, teams),
        (None, Some((user, refusal))) => BindingOutcome::Refused(user, refusal),
        (None, None) => BindingOutcome::NotFound,
    })
}

/// Records a token with the e-mail of a user who is bound, deactivated or invited for another issuer.
pub(super) async fn refuse_binding(
    app: &AppState,
    facts: &TokenFacts,
    origin: &Origin,
    user: &User,
    refusal: BindRefusal,
) -> ApiError {
    let (reason, detail) = match refusal {
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
            "Your token is valid, but its e-mail {detail}; ask an admin. Read from the token: {}.",
            facts.describe()
        ),
    );
    let entry = AuditEntry {
        identity: user.email.clone(),
        subject: Some(facts.subject.clone()),
        data: json!({ "user_id": user.id, "is_admin": user.is_admin, "reason": reason, "issuer": facts.issuer }),
        claims: Some(facts.run_claims()),
        error: Some(problem.detail.clone()),
        origin: origin.clone(),
        ..AuditEntry::service("user.bind")
    };
    let severity = if user.is_admin { Severity::High } else { Severity::Medium };
    let event = SecurityEvent { event_type: "user_bind_refused", severity, action_taken: "refused" };
    let key = format!("{} {}#{}", user.id, facts.issuer, facts.subject);
    app.record_unauthorised(Refused::Binding, key, entry, Some(event)).await;
    problem.into()
}
