//! The incident switch: ends at once everything that a team, an issuer, a person or a machine client could still do, and
//! restores exactly that.

mod run;

use domain::{
    IncidentItemKind, IncidentItemState, IncidentKind, IncidentState, Problem, ProblemCode, UserId,
};
use serde_json::json;
use store::{
    IncidentItem, IncidentRow, IncidentScope, IncidentTarget, NewIncident, NewIncidentItem, ScopedRunner, Tx,
};
use uuid::Uuid;

use crate::{
    Actor, Administrator, Operations, Result,
    validate::{MAX_REASON, check_text, settle},
};

/// Shortest reason of an incident, in characters.
const MIN_REASON: usize = 10;
/// Most changes in one report.
const MAX_SHOWN_ITEMS: i64 = 1000;

/// State of an incident, and what is left to do by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncidentReport {
    /// The incident.
    pub incident: IncidentRow,
    /// Number of changes in each state.
    pub counts: Vec<(IncidentItemState, i64)>,
    /// Changes, in order, at most 1,000.
    pub items: Vec<IncidentItem>,
    /// Open requests, configs and runners that the target still has.
    pub left: IncidentScope,
    /// Runners that run a workflow job. They are not removed: that would end the job.
    pub busy: Vec<ScopedRunner>,
}

impl Operations<'_> {
    /// Returns what an incident would end. Nothing is written.
    ///
    /// # Errors
    /// `validation_failed`; database errors.
    pub async fn preview_incident(
        &self,
        by: Actor<'_>,
        target: &IncidentTarget,
        reason: &str,
    ) -> Result<(Vec<NewIncidentItem>, IncidentScope, Vec<ScopedRunner>)> {
        check(by, target, reason)?;
        let mut tx = self.store.begin().await?;
        let items = changes(&mut tx, target).await?;
        let scope = tx.incidents().scope(target).await?;
        let busy = tx.incidents().runners(target, true).await?;
        Ok((items, scope, busy))
    }

    /// Begins an incident: from the commit on, tokens of a blocked issuer are refused. [`Self::run_incident`] makes the
    /// other changes.
    ///
    /// # Errors
    /// `validation_failed`, also for the caller's own account or issuer; `already_exists` for an issuer that is blocked
    /// already; `admin_required` for a machine client; database errors.
    pub async fn begin_incident(
        &self,
        by: Actor<'_>,
        admin: &Administrator,
        target: &IncidentTarget,
        reason: &str,
    ) -> Result<IncidentRow> {
        check(by, target, reason)?;
        let person = person(by)?;
        let mut tx = self.store.begin().await?;
        let items = changes(&mut tx, target).await?;
        let incident = NewIncident {
            id: Uuid::now_v7(),
            target: target.clone(),
            reason: reason.to_owned(),
            admin: person,
            origin: by.origin.clone(),
        };
        match tx.incidents().insert(&incident, &items).await {
            Err(error) if error.constraint() == Some("blocked_issuers_pkey") => {
                let detail = "The issuer is blocked by another incident; undo that one first.";
                return Err(Problem::new(ProblemCode::AlreadyExists, detail).into());
            }
            written => written?,
        }
        if target.kind == IncidentKind::Issuer {
            tx.sessions().end_of_issuer(&target.name).await?;
        }
        let details = json!({ "incident_id": incident.id, "target": target.kind, "name": target.name,
            "reason": reason, "changes": items.len() });
        tx.audit().write(&admin.record("incident.revoke", team_of(target), details)).await?;
        let row = read(&mut tx, incident.id).await?;
        tx.commit().await?;
        if target.kind == IncidentKind::Issuer {
            for item in &items {
                // Streams and waiting requests check their permissions again.
                if let Err(error) = self.queue.announce_access(&item.subject.to_string()).await {
                    tracing::warn!(%error, "queue unavailable; streams check their permissions within 30 s");
                    break;
                }
            }
        }
        Ok(row)
    }

    /// Begins to undo an incident. [`Self::run_incident`] restores the access.
    ///
    /// # Errors
    /// `not_found`; `validation_failed` if it is undone already; `admin_required` for a machine client; database errors.
    pub async fn undo_incident(&self, by: Actor<'_>, admin: &Administrator, id: Uuid) -> Result<IncidentRow> {
        let person = person(by)?;
        let mut tx = self.store.begin().await?;
        let before = read(&mut tx, id).await?;
        if !tx.incidents().begin_undo(id, person, Some(&by.caller.identity)).await? {
            return Err(
                Problem::field("path:incident_id", format!("the incident is {}", before.state)).into()
            );
        }
        let details = json!({ "incident_id": id, "target": before.target.kind, "name": before.target.name });
        tx.audit().write(&admin.record("incident.undo", team_of(&before.target), details)).await?;
        let row = read(&mut tx, id).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// Returns the report of an incident.
    ///
    /// # Errors
    /// `not_found`; database errors.
    pub async fn incident_report(&self, id: Uuid) -> Result<IncidentReport> {
        let mut tx = self.store.begin().await?;
        let incident = read(&mut tx, id).await?;
        let counts = tx.incidents().count_items(id).await?;
        let items = tx.incidents().items(id, 0, None, MAX_SHOWN_ITEMS).await?;
        let left = tx.incidents().scope(&incident.target).await?;
        let busy = match incident.state {
            IncidentState::Undone => Vec::new(),
            _ => tx.incidents().runners(&incident.target, true).await?,
        };
        Ok(IncidentReport { incident, counts, items, left, busy })
    }
}

async fn read(tx: &mut Tx, id: Uuid) -> Result<IncidentRow> {
    Ok(tx.incidents().get(id).await?.ok_or_else(|| Problem::not_found("incident"))?)
}

fn person(by: Actor<'_>) -> Result<UserId> {
    let problem = || Problem::new(ProblemCode::AdminRequired, "Only an admin who is a person may do this.");
    Ok(by.caller.requester.user().ok_or_else(problem)?)
}

fn team_of(target: &IncidentTarget) -> Option<domain::TeamId> {
    target.id.filter(|_| target.kind == IncidentKind::Team).map(Into::into)
}

/// Refuses an incident that would end the caller's own access.
fn check(by: Actor<'_>, target: &IncidentTarget, reason: &str) -> Result<()> {
    let mut errors = Vec::new();
    check_text(&mut errors, "/reason", reason, MAX_REASON);
    if reason.chars().count() < MIN_REASON {
        errors = vec![domain::FieldError::new("/reason", "10 to 500 characters")];
    }
    let own = by.caller.requester.user().map(Uuid::from);
    if target.kind == IncidentKind::User && target.id == own {
        errors.push(domain::FieldError::new("/user", "this is you; ask another admin"));
    }
    if target.kind == IncidentKind::Issuer && target.name == by.caller.principal.issuer {
        let detail = "this is the issuer of your own token; ask an admin of another issuer";
        errors.push(domain::FieldError::new("/issuer", detail));
    }
    Ok(settle(errors)?)
}

/// Returns the changes of an incident: access first, then the idle runners. A subject that is inactive already stays as
/// it is, now and when the incident is undone.
async fn changes(tx: &mut Tx, target: &IncidentTarget) -> Result<Vec<NewIncidentItem>> {
    let item = |kind, subject, name, is_active| NewIncidentItem {
        kind,
        subject,
        name,
        state: if is_active { IncidentItemState::Waiting } else { IncidentItemState::Unchanged },
    };
    let (id, name) = (target.id.unwrap_or_default(), target.name.clone());
    let mut items = match target.kind {
        IncidentKind::Team => {
            let team = tx.teams().lock(id.into()).await?.ok_or_else(|| Problem::not_found("team"))?;
            vec![item(IncidentItemKind::Team, id, name, team.is_active)]
        }
        IncidentKind::User => {
            let user = tx.users().lock(id.into()).await?.ok_or_else(|| Problem::not_found("user"))?;
            vec![item(IncidentItemKind::User, id, name, user.is_active)]
        }
        IncidentKind::Client => {
            let client = tx.clients().lock(id.into()).await?;
            let client = client.ok_or_else(|| Problem::not_found("machine client"))?;
            vec![item(IncidentItemKind::Client, id, name, client.is_active)]
        }
        IncidentKind::Issuer => tx.incidents().requesters_of_issuer(&target.name).await?,
    };
    let idle = tx.incidents().runners(target, false).await?;
    items.extend(idle.into_iter().map(|runner| item(IncidentItemKind::Runner, runner.id, runner.name, true)));
    Ok(items)
}
