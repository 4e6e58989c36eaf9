//! Changes of teams.

pub(crate) mod policy;

use domain::{DriftResponse, InstallationId, Problem, ProblemCode, Team, TeamId};
use serde_json::{Value, json};
use store::{TeamDraft, Tx};

use crate::{
    Administrator, Operations, Result,
    record::{differences, extend},
    revocation::{Revocation, Revoked},
    validate::{check_reason, check_text, settle},
};

/// A change of a team: only the given values change.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TeamChange {
    /// Name of the team.
    pub name: Option<String>,
    /// Description for people.
    pub description: Option<Option<String>>,
    /// Labels that every runner has.
    pub required_labels: Option<Vec<String>>,
    /// Patterns of the further labels a runner may have.
    pub optional_label_patterns: Option<Vec<String>>,
    /// Whether every runner has the label `self-hosted`.
    pub add_self_hosted: Option<bool>,
    /// Runner groups the team may use.
    pub allowed_runner_group_ids: Option<Vec<i64>>,
    /// Repositories whose jobs may run on its runners.
    pub allowed_repositories: Option<Vec<String>>,
    /// Workflows whose jobs may run on its runners.
    pub allowed_workflows: Option<Vec<String>>,
    /// Most runners at a time; `None` means no limit.
    pub max_runners: Option<Option<i32>>,
    /// Weight in the fair queue.
    pub weight: Option<f64>,
    /// Response to label drift.
    pub drift_response: Option<DriftResponse>,
    /// GitHub installation of its runners.
    pub installation: Option<InstallationId>,
    /// Whether it may get runners.
    pub is_active: Option<bool>,
    /// Reason of a deactivation.
    pub deactivation_reason: Option<Option<String>>,
}

impl Operations<'_> {
    /// Adds a team.
    ///
    /// # Errors
    /// `validation_failed`, `already_exists`.
    pub async fn create_team(&self, admin: &Administrator, draft: &TeamDraft) -> Result<Team> {
        let mut tx = self.store.begin().await?;
        let id = record_team(&mut tx, admin, draft).await?;
        let team = get_team(&mut tx, id).await?;
        tx.commit().await?;
        Ok(team)
    }

    /// Changes a team. Its existing runners keep their labels and groups.
    ///
    /// # Errors
    /// `not_found`, `validation_failed`, `already_exists`, `team_in_use`.
    pub async fn change_team(&self, admin: &Administrator, id: TeamId, change: TeamChange) -> Result<Team> {
        self.write_team(admin, id, change, "team.update").await
    }

    /// Deactivates a team: it gets no more runners, its open requests are cancelled and its unread configs shredded.
    /// Its runners stay until a caller removes them.
    ///
    /// # Errors
    /// `not_found`, `validation_failed`.
    pub async fn deactivate_team(&self, admin: &Administrator, id: TeamId, reason: &str) -> Result<Team> {
        let mut errors = Vec::new();
        check_text(&mut errors, "/reason", reason, crate::validate::MAX_REASON);
        settle(errors)?;
        let change = TeamChange {
            is_active: Some(false),
            deactivation_reason: Some(Some(reason.to_owned())),
            ..TeamChange::default()
        };
        self.write_team(admin, id, change, "team.deactivate").await
    }

    /// Activates a team again.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn reactivate_team(&self, admin: &Administrator, id: TeamId) -> Result<Team> {
        let change = TeamChange { is_active: Some(true), ..TeamChange::default() };
        self.write_team(admin, id, change, "team.reactivate").await
    }

    async fn write_team(
        &self,
        admin: &Administrator,
        id: TeamId,
        change: TeamChange,
        event_type: &'static str,
    ) -> Result<Team> {
        let reason = change.deactivation_reason.as_ref().and_then(Option::as_deref);
        check_reason("/deactivation_reason", reason)?;
        let mut tx = self.store.begin().await?;
        let before = tx.teams().lock(id).await?.ok_or_else(|| Problem::not_found("team"))?;
        prepare_move(&mut tx, &before, &change).await?;
        let labels_are_new = change.required_labels.is_some();
        let renamed = change.name.as_ref().is_some_and(|name| *name != before.name);
        let was = describe_team(&unchanged_team(before.clone()));
        let mut row = to_row(before, change);
        policy::check(&row.draft, renamed, labels_are_new)?;
        if labels_are_new {
            row.draft = policy::normalize(row.draft);
        }
        let revoked = if row.is_active {
            Revoked::default()
        } else {
            Revocation::of_team(id, row.deactivation_reason.as_deref()).apply(&mut tx).await?
        };
        let changed = differences(&was, &describe_team(&row));
        if changed.is_some() {
            tx.teams().update(id, &row).await?;
        }
        if changed.is_some() || !revoked.is_empty() {
            let (before, after) = changed.unwrap_or_default();
            let mut details = json!({ "before": before, "after": after });
            if !row.is_active {
                extend(&mut details, revoked.details());
            }
            tx.audit().write(&admin.record(event_type, Some(id), details)).await?;
        }
        let team = get_team(&mut tx, id).await?;
        tx.commit().await?;
        revoked.publish(self.queue).await;
        Ok(team)
    }
}

/// Checks and adds a team, with an audit row.
pub(crate) async fn record_team(tx: &mut Tx, admin: &Administrator, draft: &TeamDraft) -> Result<TeamId> {
    policy::check(draft, true, true)?;
    let draft = &policy::normalize(draft.clone());
    let id = TeamId::new();
    tx.installations().ensure(std::slice::from_ref(&draft.installation)).await?;
    tx.teams().insert(id, draft).await?;
    tx.audit().write(&admin.record("team.create", Some(id), describe_draft(draft))).await?;
    Ok(id)
}

/// Checks that a team may move to another installation. It must have no runners or open jobs, and it loses its runner
/// groups, because their ids mean other groups elsewhere. A concurrent request keeps the installation in its rows.
async fn prepare_move(tx: &mut Tx, before: &Team, change: &TeamChange) -> Result<()> {
    let Some(target) = change.installation.as_ref().filter(|target| **target != before.installation) else {
        return Ok(());
    };
    if change.allowed_runner_group_ids.is_none() && !before.allowed_runner_group_ids.is_empty() {
        let detail =
            "runner groups belong to an installation: name those of the new one, or [] for its default group";
        return Err(Problem::field("/allowed_runner_group_ids", detail).into());
    }
    if tx.teams().in_use(before.id).await? {
        let detail = "The team has runners or open jobs in its installation; remove them before the move.";
        return Err(Problem::new(ProblemCode::TeamInUse, detail).into());
    }
    Ok(tx.installations().ensure(std::slice::from_ref(target)).await?)
}

async fn get_team(tx: &mut Tx, id: TeamId) -> Result<Team> {
    Ok(tx.teams().get(id).await?.ok_or_else(|| Problem::not_found("team"))?)
}

/// Returns the values of a team as they are stored.
pub(crate) fn unchanged_team(team: Team) -> store::TeamChange {
    to_row(team, TeamChange::default())
}

fn to_row(before: Team, change: TeamChange) -> store::TeamChange {
    let is_active = change.is_active.unwrap_or(before.is_active);
    let reason = change.deactivation_reason.unwrap_or(before.deactivation_reason);
    store::TeamChange {
        draft: TeamDraft {
            name: change.name.unwrap_or(before.name),
            description: change.description.unwrap_or(before.description),
            required_labels: change.required_labels.unwrap_or(before.required_labels),
            optional_label_patterns: change.optional_label_patterns.unwrap_or(before.optional_label_patterns),
            add_self_hosted: change.add_self_hosted.unwrap_or(before.add_self_hosted),
            allowed_runner_group_ids: change
                .allowed_runner_group_ids
                .unwrap_or(before.allowed_runner_group_ids),
            allowed_repositories: change.allowed_repositories.unwrap_or(before.allowed_repositories),
            allowed_workflows: change.allowed_workflows.unwrap_or(before.allowed_workflows),
            max_runners: change.max_runners.unwrap_or(before.max_runners),
            weight: change.weight.unwrap_or(before.weight),
            drift_response: change.drift_response.unwrap_or(before.drift_response),
            installation: change.installation.unwrap_or(before.installation),
        },
        deactivation_reason: reason.filter(|_| !is_active),
        is_active,
    }
}

/// Returns the values of a new team for the audit log, under the names of the API.
fn describe_draft(draft: &TeamDraft) -> Value {
    json!({
        "name": draft.name,
        "description": draft.description,
        "required_labels": draft.required_labels,
        "optional_label_patterns": draft.optional_label_patterns,
        "add_self_hosted": draft.add_self_hosted,
        "allowed_runner_group_ids": draft.allowed_runner_group_ids,
        "allowed_repositories": draft.allowed_repositories,
        "allowed_workflows": draft.allowed_workflows,
        "max_runners": draft.max_runners,
        "weight": draft.weight,
        "drift_response": draft.drift_response,
        "installation": draft.installation,
    })
}

pub(crate) fn describe_team(row: &store::TeamChange) -> Value {
    let mut value = describe_draft(&row.draft);
    extend(&mut value, json!({ "is_active": row.is_active, "deactivation_reason": row.deactivation_reason }));
    value
}
