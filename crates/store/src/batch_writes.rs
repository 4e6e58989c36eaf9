//! Batch writes of people, teams, members and machine clients.

use domain::{MachineClient, TeamId, User, UserId};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Batches, Result, StoreError, TeamChange};

impl Batches<'_> {
    /// Inserts and updates teams, and marks them as the owner's.
    ///
    /// # Errors
    /// `Conflict` by `teams_name_key`.
    pub async fn write_teams(&mut self, teams: &[(TeamId, TeamChange)], owner: &str) -> Result<()> {
        let rows: Value = teams.iter().map(|(id, change)| team_json(*id, change)).collect();
        sqlx::query!(
            "INSERT INTO teams (id, name, description, required_labels, optional_label_patterns,
                allowed_runner_group_ids, max_runners, weight, drift_response, installation, allowed_repositories,
                allowed_workflows, add_self_hosted, is_active, deactivation_reason, managed_by)
             SELECT id, name, description, required_labels, optional_label_patterns, allowed_runner_group_ids,
                max_runners, weight, drift_response, installation, allowed_repositories, allowed_workflows,
                add_self_hosted, is_active, deactivation_reason, $2
             FROM jsonb_to_recordset($1) AS r (id uuid, name text, description text, required_labels text[],
                optional_label_patterns text[], allowed_runner_group_ids bigint[], max_runners integer,
                weight double precision, drift_response text, installation text, allowed_repositories text[],
                allowed_workflows text[], add_self_hosted boolean, is_active boolean, deactivation_reason text)
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, description = excluded.description,
                required_labels = excluded.required_labels,
                optional_label_patterns = excluded.optional_label_patterns,
                allowed_runner_group_ids = excluded.allowed_runner_group_ids, max_runners = excluded.max_runners,
                weight = excluded.weight, drift_response = excluded.drift_response,
                installation = excluded.installation, allowed_repositories = excluded.allowed_repositories,
                allowed_workflows = excluded.allowed_workflows, add_self_hosted = excluded.add_self_hosted,
                is_active = excluded.is_active, deactivation_reason = excluded.deactivation_reason,
                managed_by = excluded.managed_by, updated_at = now()",
            rows,
            owner,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Inserts and updates people, and marks them as the owner's. An invitation begins anew when an unbound person is
    /// activated.
    ///
    /// # Errors
    /// `Conflict` by `users_email_key` or `users_identity_key`.
    pub async fn write_people(&mut self, people: &[User], owner: &str) -> Result<()> {
        let rows: Value = people.iter().map(user_json).collect();
        sqlx::query!(
            "INSERT INTO users (id, email, issuer, subject, display_name, is_admin, is_viewer, is_active, can_use_jit,
                can_use_registration_token, managed_by)
             SELECT id, email, issuer, subject, display_name, is_admin, is_viewer, is_active, can_use_jit,
                can_use_registration_token, $2
             FROM jsonb_to_recordset($1) AS r (id uuid, email text, issuer text, subject text, display_name text,
                is_admin boolean, is_viewer boolean, is_active boolean, can_use_jit boolean,
                can_use_registration_token boolean)
             ON CONFLICT (id) DO UPDATE SET display_name = excluded.display_name, is_admin = excluded.is_admin,
                is_viewer = excluded.is_viewer, is_active = excluded.is_active, can_use_jit = excluded.can_use_jit,
                can_use_registration_token = excluded.can_use_registration_token, managed_by = excluded.managed_by,
                invited_at = CASE WHEN users.subject IS NULL AND NOT users.is_active AND excluded.is_active THEN now()
                    ELSE users.invited_at END",
            rows,
            owner,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Inserts and updates machine clients, and marks them as the owner's.
    ///
    /// # Errors
    /// `Conflict` by `oauth_clients_live_key`.
    pub async fn write_clients(&mut self, clients: &[MachineClient], owner: &str) -> Result<()> {
        let rows = clients.iter().map(client_json).collect::<serde_json::Result<Vec<Value>>>();
        let rows = Value::from(rows.map_err(StoreError::inconsistent)?);
        sqlx::query!(
            "INSERT INTO oauth_clients (id, client_id, issuer, team_id, description, rule, is_active, managed_by)
             SELECT id, client_id, issuer, team_id, description, rule, is_active, $2
             FROM jsonb_to_recordset($1) AS r (id uuid, client_id text, issuer text, team_id uuid, description text,
                rule jsonb, is_active boolean)
             ON CONFLICT (id) DO UPDATE SET description = excluded.description, rule = excluded.rule,
                is_active = excluded.is_active, managed_by = excluded.managed_by",
            rows,
            owner,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Adds members, and marks them as the owner's.
    pub async fn add_members(&mut self, members: &[(TeamId, UserId)], owner: &str) -> Result<()> {
        let (teams, users) = columns(members);
        sqlx::query!(
            "INSERT INTO team_members (team_id, user_id, managed_by)
             SELECT team, person, $3 FROM unnest($1::uuid[], $2::uuid[]) AS r (team, person)
             ON CONFLICT (user_id, team_id) DO UPDATE SET managed_by = excluded.managed_by",
            &teams,
            &users,
            owner,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Removes members.
    pub async fn remove_members(&mut self, members: &[(TeamId, UserId)]) -> Result<()> {
        let (teams, users) = columns(members);
        sqlx::query!(
            "DELETE FROM team_members WHERE (team_id, user_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[]))",
            &teams,
            &users,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }
}

fn columns(members: &[(TeamId, UserId)]) -> (Vec<Uuid>, Vec<Uuid>) {
    members.iter().map(|(team, user)| (team.uuid(), user.uuid())).unzip()
}

fn team_json(id: TeamId, change: &TeamChange) -> Value {
    let draft = &change.draft;
    json!({
        "id": id,
        "name": draft.name,
        "description": draft.description,
        "required_labels": draft.required_labels,
        "optional_label_patterns": draft.optional_label_patterns,
        "allowed_runner_group_ids": draft.allowed_runner_group_ids,
        "max_runners": draft.max_runners,
        "weight": draft.weight,
        "drift_response": draft.drift_response,
        "installation": draft.installation,
        "allowed_repositories": draft.allowed_repositories,
        "allowed_workflows": draft.allowed_workflows,
        "add_self_hosted": draft.add_self_hosted,
        "is_active": change.is_active,
        "deactivation_reason": change.deactivation_reason,
    })
}

fn user_json(user: &User) -> Value {
    json!({
        "id": user.id,
        "email": user.email,
        "issuer": user.issuer,
        "subject": user.subject,
        "display_name": user.display_name,
        "is_admin": user.is_admin,
        "is_viewer": user.is_viewer,
        "is_active": user.is_active,
        "can_use_jit": user.can_use_jit,
        "can_use_registration_token": user.can_use_registration_token,
    })
}

fn client_json(client: &MachineClient) -> serde_json::Result<Value> {
    let rule = client.rule.as_ref().map(serde_json::to_value).transpose()?;
    Ok(json!({
        "id": client.id,
        "client_id": client.client_id,
        "issuer": client.issuer,
        "team_id": client.team,
        "description": client.description,
        "rule": rule,
        "is_active": client.is_active,
    }))
}
