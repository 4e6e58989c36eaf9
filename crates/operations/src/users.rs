//! Changes of users.

mod last_admin;

use domain::{FieldError, JobKind, Problem, Requester, TeamId, User, UserId};
use serde_json::{Value, json};
use store::{Store, Tx, UserDraft};

use self::last_admin::check_last_admin;
use crate::{
    Administrator, Operations, Result,
    members::record_member,
    record::{comment, differences, extend},
    revocation::{Revocation, Revoked},
    validate::{check_optional, check_reason, is_email, settle},
};

/// A change of a user: only the given values change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserChange {
    /// E-mail address.
    pub email: Option<String>,
    /// Token issuer.
    pub issuer: Option<String>,
    /// Token subject; `Some(None)` unbinds the user.
    pub subject: Option<Option<String>>,
    /// Name to show.
    pub display_name: Option<Option<String>>,
    /// Whether the user is an admin.
    pub is_admin: Option<bool>,
    /// Whether the user may read everything and change nothing.
    pub is_viewer: Option<bool>,
    /// Whether the user may do anything.
    pub is_active: Option<bool>,
    /// Whether the user may request JIT configs.
    pub can_use_jit: Option<bool>,
    /// Whether the user may request registration tokens.
    pub can_use_registration_token: Option<bool>,
}

/// Event type and comment of one operation on a user, and the rights of issuers where the operation may invite anew.
struct Purpose<'a> {
    event_type: &'static str,
    comment: Option<&'a str>,
    rights: Option<&'a RightsOf<'a>>,
}

/// Returns the rights of an issuer about an e-mail address. Without an issuer, the first one that binds people counts.
pub type RightsOf<'a> = dyn Fn(Option<&str>, &str) -> BindingRights + Sync + 'a;

/// Most teams that a new user joins.
const MAX_TEAMS: usize = 100;

/// Longest subject, in bytes: longer ones do not fit into the index of principals.
pub const MAX_SUBJECT_BYTES: usize = 2000;

/// Returns the errors in the values of a new user. The issuer is not checked.
pub fn check_user_draft(draft: &UserDraft) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if draft.email.is_none() && draft.subject.is_none() {
        errors.push(FieldError::new("/email", "this or oidc_sub is needed"));
    }
    check_email(&mut errors, draft.email.as_deref());
    check_subject(&mut errors, draft.subject.as_deref());
    check_optional(&mut errors, "/display_name", draft.display_name.as_deref(), 200);
    errors
}

/// Rights of an invitation's issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindingRights {
    /// Whether it binds people by their e-mail address.
    pub people: bool,
    /// Whether it may bind the address of the invitation.
    pub address: bool,
}

/// Returns the error in an invitation that its issuer would never bind, so that the person could never sign in. A user
/// with a subject needs no invitation.
pub fn check_invitation(draft: &UserDraft, rights: BindingRights) -> Option<FieldError> {
    check_unbound(draft.email.as_deref().filter(|_| draft.subject.is_none())?, rights)
}

/// Returns the error in the e-mail address of an unbound user that no sign-in could bind.
fn check_unbound(email: &str, rights: BindingRights) -> Option<FieldError> {
    if !rights.people {
        let detail = "this issuer does not bind people by e-mail; name their subject, or set `binds_people`";
        return Some(FieldError::new("/issuer", detail));
    }
    let detail =
        "the issuer's `email_domains` do not contain this domain; name their subject, or add the domain";
    (is_email(email) && !rights.address).then(|| FieldError::new("/email", detail))
}

/// Makes the user with this e-mail address or principal an active admin, and adds the user if there is none. `rights`
/// are `None` if no issuers are configured here.
///
/// # Errors
/// `validation_failed`, `already_exists`; database errors.
pub async fn make_admin(
    store: &Store,
    admin: &Administrator,
    draft: &UserDraft,
    rights: Option<BindingRights>,
) -> Result<()> {
    let mut errors = check_user_draft(draft);
    errors.extend(rights.and_then(|rights| check_invitation(draft, rights)));
    settle(errors)?;
    let mut tx = store.begin().await?;
    tx.users().make_admin(draft).await?;
    tx.audit().write(&admin.record("admin.create", None, describe_draft(draft))).await?;
    Ok(tx.commit().await?)
}

/// Invites a first admin by e-mail. Returns `false` if the user exists already, and then changes nothing.
///
/// # Errors
/// `validation_failed` if the issuer would never bind the invitation; database errors.
pub async fn invite_first_admin(
    store: &Store,
    admin: &Administrator,
    draft: &UserDraft,
    rights: BindingRights,
) -> Result<bool> {
    let mut tx = store.begin().await?;
    if let Some(email) = &draft.email
        && tx.users().by_email(email).await?.is_some()
    {
        return Ok(false);
    }
    settle(check_invitation(draft, rights).into_iter().collect())?;
    let draft = UserDraft { is_admin: true, can_use_jit: true, ..draft.clone() };
    match tx.users().insert(UserId::new(), &draft).await {
        Ok(_) => {}
        Err(error) if error.constraint() == Some("users_email_key") => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    tx.audit().write(&admin.record("admin.create", None, describe_draft(&draft))).await?;
    tx.commit().await?;
    Ok(true)
}

/// Returns the details of an audit row about a new admin.
fn describe_draft(draft: &UserDraft) -> Value {
    json!({ "email": draft.email, "issuer": draft.issuer, "subject": draft.subject })
}

impl Operations<'_> {
    /// Adds a user as a member of `teams`. Each membership has an audit row of its own, which the team's log shows.
    ///
    /// # Errors
    /// `validation_failed`, `already_exists`.
    pub async fn create_user(
        &self,
        admin: &Administrator,
        draft: &UserDraft,
        teams: &[TeamId],
    ) -> Result<User> {
        let mut errors = check_user_draft(draft);
        if teams.len() > MAX_TEAMS {
            errors.push(FieldError::new("/team_ids", "at most 100"));
        }
        settle(errors)?;
        let mut tx = self.store.begin().await?;
        let user = tx.users().insert(UserId::new(), draft).await?;
        let details = json!({ "user_id": user.id, "email": user.email, "role": user.role(),
            "is_admin": user.is_admin, "issuer": user.issuer, "subject": user.subject, "team_ids": teams });
        tx.audit().write(&admin.record("user.create", None, details)).await?;
        for (nth, team) in teams.iter().enumerate() {
            if tx.teams().basics(*team).await?.is_none() {
                return Err(Problem::field(format!("/team_ids/{nth}"), "no team with this id").into());
            }
            record_member(&mut tx, admin, *team, &user).await?;
        }
        tx.commit().await?;
        Ok(user)
    }

    /// Changes a user. A new e-mail address or issuer of an unbound user is an invitation like that of a new user, and
    /// so is an address that becomes unbound.
    ///
    /// # Errors
    /// `not_found`, `validation_failed`, `already_exists`, `last_admin`.
    pub async fn change_user(
        &self,
        admin: &Administrator,
        id: UserId,
        change: UserChange,
        comment: Option<&str>,
        rights: &RightsOf<'_>,
    ) -> Result<User> {
        let purpose = Purpose { event_type: "user.update", comment, rights: Some(rights) };
        self.write_user(admin, id, change, &purpose).await
    }

    /// Deactivates a user: their open requests are cancelled and their unread configs shredded. Their runners stay.
    ///
    /// # Errors
    /// `not_found`, `last_admin`.
    pub async fn deactivate_user(
        &self,
        admin: &Administrator,
        id: UserId,
        comment: Option<&str>,
    ) -> Result<User> {
        let change = UserChange { is_active: Some(false), ..UserChange::default() };
        self.write_user(admin, id, change, &Purpose { event_type: "user.deactivate", comment, rights: None })
            .await
    }

    /// Activates a user again, with the rights and teams they had.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn activate_user(
        &self,
        admin: &Administrator,
        id: UserId,
        comment: Option<&str>,
    ) -> Result<User> {
        let change = UserChange { is_active: Some(true), ..UserChange::default() };
        self.write_user(admin, id, change, &Purpose { event_type: "user.activate", comment, rights: None })
            .await
    }

    /// Unbinds a user from their principal: the next sign-in with their e-mail address binds it anew.
    ///
    /// # Errors
    /// `not_found`, `last_admin`; `validation_failed` for a user without an e-mail address.
    pub async fn unbind_user(
        &self,
        admin: &Administrator,
        id: UserId,
        comment: Option<&str>,
    ) -> Result<User> {
        let change = UserChange { subject: Some(None), ..UserChange::default() };
        self.write_user(admin, id, change, &Purpose { event_type: "user.unbind", comment, rights: None })
            .await
    }

    async fn write_user(
        &self,
        admin: &Administrator,
        id: UserId,
        change: UserChange,
        purpose: &Purpose<'_>,
    ) -> Result<User> {
        check_change(&change)?;
        check_reason("/comment", purpose.comment)?;
        let mut tx = self.store.begin().await?;
        let before = tx.users().lock(id).await?.ok_or_else(|| Problem::not_found("user"))?;
        let after = apply_change(before.clone(), change);
        check_names(&after)?;
        if let (Some(rights), Some(email)) = (purpose.rights, invited_anew(&before, &after)) {
            settle(check_unbound(email, rights(after.issuer.as_deref(), email)).into_iter().collect())?;
        }
        check_last_admin(&mut tx, &before, &after).await?;
        let revoked = revoke(&mut tx, &before, &after).await?;
        let changed = differences(&describe_user(&before), &describe_user(&after));
        if changed.is_some() {
            tx.users().update(&after).await?;
        }
        if changed.is_some() || !revoked.is_empty() {
            let mut details = json!({ "user_id": id, "email": after.email });
            let (before, after) = changed.unwrap_or_default();
            extend(&mut details, json!({ "before": before, "after": after }));
            extend(&mut details, comment(purpose.comment));
            extend(&mut details, revoked.details());
            tx.audit().write(&admin.record(purpose.event_type, None, details)).await?;
        }
        tx.commit().await?;
        revoked.publish(self.queue).await;
        Ok(after)
    }
}

fn apply_change(before: User, change: UserChange) -> User {
    let subject = change.subject.unwrap_or(before.subject);
    User {
        email: change.email.or(before.email),
        issuer: change.issuer.or(before.issuer),
        subject,
        display_name: change.display_name.unwrap_or(before.display_name),
        is_admin: change.is_admin.unwrap_or(before.is_admin),
        is_viewer: change.is_viewer.unwrap_or(before.is_viewer),
        is_active: change.is_active.unwrap_or(before.is_active),
        can_use_jit: change.can_use_jit.unwrap_or(before.can_use_jit),
        can_use_registration_token: change
            .can_use_registration_token
            .unwrap_or(before.can_use_registration_token),
        ..before
    }
}

fn check_change(change: &UserChange) -> std::result::Result<(), Problem> {
    let mut errors = Vec::new();
    check_email(&mut errors, change.email.as_deref());
    check_optional(&mut errors, "/issuer", change.issuer.as_deref(), 500);
    check_subject(&mut errors, change.subject.as_ref().and_then(Option::as_deref));
    let display_name = change.display_name.as_ref().and_then(Option::as_deref);
    check_optional(&mut errors, "/display_name", display_name, 200);
    settle(errors)
}

fn check_email(errors: &mut Vec<FieldError>, email: Option<&str>) {
    if email.is_some_and(|email| !is_email(email)) {
        errors.push(FieldError::new("/email", "not an e-mail address"));
    }
}

/// Checks a subject, which must fit into the index of principals.
fn check_subject(errors: &mut Vec<FieldError>, subject: Option<&str>) {
    check_optional(errors, "/oidc_sub", subject, 1024);
    if subject.is_some_and(|subject| subject.len() > MAX_SUBJECT_BYTES) {
        errors.push(FieldError::new("/oidc_sub", "at most 2,000 bytes"));
    }
}

/// Checks that a user has a principal, or an e-mail address to be bound by.
fn check_names(after: &User) -> std::result::Result<(), Problem> {
    match (&after.subject, &after.email, &after.issuer) {
        (None, None, _) => {
            let detail = "this user has no e-mail address to bind a sign-in by; set `email` too";
            Err(Problem::field("/oidc_sub", detail))
        }
        (Some(_), _, None) => Err(Problem::field("/issuer", "needed with oidc_sub")),
        _ => Ok(()),
    }
}

/// Returns the e-mail address of a user whom a change invites anew.
fn invited_anew<'u>(before: &User, after: &'u User) -> Option<&'u str> {
    let names = |user: &User| (user.email.clone(), user.issuer.clone(), user.subject.clone());
    after.email.as_deref().filter(|_| after.subject.is_none() && names(before) != names(after))
}

/// Revokes the access that the user loses.
pub(crate) async fn revoke(tx: &mut Tx, before: &User, after: &User) -> Result<Revoked> {
    let requester = Requester::User(before.id);
    let principal = |user: &User| (user.issuer.clone(), user.subject.clone());
    if !after.is_active || principal(before) != principal(after) {
        tx.sessions().end_all(before.id).await?;
    }
    if !after.is_active {
        return Revocation::of_requester(requester, "its requester was deactivated").apply(tx).await;
    }
    let only_reads = |user: &User| user.is_viewer && !user.is_admin;
    if only_reads(after) && !only_reads(before) {
        return Revocation::of_viewer(requester).apply(tx).await;
    }
    // A stream or waiting request of a former admin, or of an unbound principal, checks its permissions again.
    let mut revoked = Revoked::nothing_of(&before.id);
    let lost = [
        (before.can_use_jit && !after.can_use_jit, JobKind::Provision),
        (before.can_use_registration_token && !after.can_use_registration_token, JobKind::Register),
    ];
    for (_, kind) in lost.into_iter().filter(|(lost, _)| *lost) {
        revoked.add(Revocation::of_kind(requester, kind).apply(tx).await?);
    }
    Ok(revoked)
}

/// Returns the values that an audit row compares, under the names of the API.
pub(crate) fn describe_user(user: &User) -> Value {
    json!({
        "email": user.email,
        "issuer": user.issuer,
        "oidc_sub": user.subject,
        "display_name": user.display_name,
        "is_admin": user.is_admin,
        "is_viewer": user.is_viewer,
        "is_active": user.is_active,
        "can_use_jit": user.can_use_jit,
        "can_use_registration_token": user.can_use_registration_token,
    })
}
