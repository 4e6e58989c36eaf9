//! Changes of machine clients.

use domain::{ClaimRule, ClientId, FieldError, MachineClient, Problem, Requester};
use serde_json::{Value, json};
use store::{NewClient, Tx};

use crate::{
    Administrator, Operations, Result,
    record::{comment, differences, extend},
    revocation::{Revocation, Revoked},
    validate::{check_optional, check_reason, check_text, settle},
};

/// A change of a machine client: only the given values change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientChange {
    /// Description for people.
    pub description: Option<Option<String>>,
    /// Claim rule that selects its tokens. Only a client with a rule can get another one.
    pub rule: Option<ClaimRule>,
    /// Whether it may do anything.
    pub is_active: Option<bool>,
}

/// Returns the errors in the values of a new machine client. The issuer is not checked.
pub fn check_client_draft(draft: &NewClient) -> Vec<FieldError> {
    let mut errors = Vec::new();
    check_text(&mut errors, "/client_id", &draft.client_id, 255);
    check_description(&mut errors, draft.description.as_deref());
    check_rule(&mut errors, draft.rule.as_ref());
    errors
}

impl Operations<'_> {
    /// Adds a machine client that is bound to one team.
    ///
    /// # Errors
    /// `validation_failed`, `already_exists`.
    pub async fn create_client(&self, admin: &Administrator, draft: &NewClient) -> Result<MachineClient> {
        settle(check_client_draft(draft))?;
        let mut tx = self.store.begin().await?;
        if tx.teams().basics(draft.team).await?.is_none() {
            return Err(Problem::field("/team_id", "no team with this id").into());
        }
        let client = tx.clients().insert(ClientId::new(), draft, admin.identity()).await?;
        let details = json!({ "client_id": client.client_id, "issuer": client.issuer, "rule": client.rule });
        tx.audit().write(&admin.record("client.create", Some(client.team), details)).await?;
        tx.commit().await?;
        Ok(client)
    }

    /// Changes a machine client. A deactivation cancels its open requests and shreds its unread configs.
    ///
    /// # Errors
    /// `not_found`, `validation_failed`.
    pub async fn change_client(
        &self,
        admin: &Administrator,
        id: ClientId,
        change: ClientChange,
        reason: Option<&str>,
    ) -> Result<MachineClient> {
        check_change(&change)?;
        check_reason("/comment", reason)?;
        let mut tx = self.store.begin().await?;
        let before = tx.clients().lock(id).await?.ok_or_else(|| Problem::not_found("machine client"))?;
        if change.rule.is_some() && before.rule.is_none() {
            let detail = "this client is known by its client id; add another client for a rule";
            return Err(Problem::field("/rule", detail).into());
        }
        let after = MachineClient {
            description: change.description.unwrap_or_else(|| before.description.clone()),
            rule: change.rule.or_else(|| before.rule.clone()),
            is_active: change.is_active.unwrap_or(before.is_active),
            ..before.clone()
        };
        let revoked = if after.is_active { Revoked::default() } else { revoke(&mut tx, id).await? };
        let changed = differences(&describe_client(&before), &describe_client(&after));
        if changed.is_some() {
            tx.clients().update(&after).await?;
        }
        if changed.is_some() || !revoked.is_empty() {
            let (was, is) = changed.unwrap_or_default();
            let mut details = json!({ "id": id, "client_id": after.client_id, "issuer": after.issuer,
                "before": was, "after": is });
            extend(&mut details, comment(reason));
            extend(&mut details, revoked.details());
            tx.audit().write(&admin.record("client.update", Some(after.team), details)).await?;
        }
        tx.commit().await?;
        revoked.publish(self.queue).await;
        Ok(after)
    }

    /// Removes a machine client, cancels its open requests and shreds its unread configs. Its client id is free again;
    /// its runners stay with the team.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn remove_client(
        &self,
        admin: &Administrator,
        id: ClientId,
        reason: Option<&str>,
    ) -> Result<()> {
        check_reason("/comment", reason)?;
        let mut tx = self.store.begin().await?;
        let client = tx.clients().lock_for_removal(id).await?;
        let client = client.ok_or_else(|| Problem::not_found("machine client"))?;
        let revoked = revoke(&mut tx, id).await?;
        tx.clients().remove(id).await?;
        let mut details = json!({ "id": id, "client_id": client.client_id, "issuer": client.issuer, "before": {
            "description": client.description, "rule": client.rule, "is_active": client.is_active } });
        extend(&mut details, comment(reason));
        extend(&mut details, revoked.details());
        tx.audit().write(&admin.record("client.delete", Some(client.team_id.into()), details)).await?;
        tx.commit().await?;
        revoked.publish(self.queue).await;
        Ok(())
    }
}

fn check_change(change: &ClientChange) -> std::result::Result<(), Problem> {
    let mut errors = Vec::new();
    let description = change.description.as_ref().and_then(Option::as_deref);
    check_description(&mut errors, description);
    check_rule(&mut errors, change.rule.as_ref());
    settle(errors)
}

fn check_description(errors: &mut Vec<FieldError>, description: Option<&str>) {
    check_optional(errors, "/description", description, 1000);
}

fn check_rule(errors: &mut Vec<FieldError>, rule: Option<&ClaimRule>) {
    if let Some(Err(why)) = rule.map(ClaimRule::check) {
        errors.push(FieldError::new("/rule", why));
    }
}

/// Revokes the access of a machine client that ends.
pub(crate) async fn revoke(tx: &mut Tx, client: ClientId) -> Result<Revoked> {
    let requester = Requester::Client(client);
    Revocation::of_requester(requester, "its machine client was deactivated").apply(tx).await
}

/// Returns the values that an audit row compares, under the names of the API.
pub(crate) fn describe_client(client: &MachineClient) -> Value {
    json!({ "description": client.description, "rule": client.rule, "is_active": client.is_active })
}
