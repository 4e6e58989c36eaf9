//! The changes of an incident, in a request or in a scheduler. Each is an operation on a single team, person or machine
//! client and may be repeated after a crash.

use std::time::Duration;

use chrono::TimeDelta;
use domain::{
    Caller, IncidentItemKind, IncidentItemState, IncidentState, Origin, Problem, ProblemCode, Requester,
    TeamId,
};
use store::{IncidentItem, IncidentRow};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{Actor, Administrator, ClientChange, OperationError, Operations, Result, RunnerJobRequest};

/// Time for which a process has the sole right to work on an incident.
const TURN: TimeDelta = TimeDelta::seconds(30);
/// Changes of one part.
const PART: i64 = 20;

/// Outcome of one change.
type Outcome = (IncidentItemState, Option<String>);

impl Operations<'_> {
    /// Works on an incident for up to `time`. `worker` names the process. Returns the incident as it is then.
    ///
    /// # Errors
    /// `not_found`; database errors, after which another call goes on.
    pub async fn run_incident(&self, id: Uuid, worker: &str, time: Duration) -> Result<IncidentRow> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            if !self.store.conn().await?.incidents().take(id, worker, TURN).await? {
                break;
            }
            let incident = self.incident(id).await?;
            let is_over = match incident.state {
                IncidentState::Revoking => self.revoke_part(&incident).await?,
                IncidentState::Undoing => self.restore_part(&incident).await?,
                IncidentState::Active | IncidentState::Undone => true,
            };
            if is_over {
                break;
            }
        }
        self.store.conn().await?.incidents().release(id, worker).await?;
        self.incident(id).await
    }

    async fn incident(&self, id: Uuid) -> Result<IncidentRow> {
        let row = self.store.conn().await?.incidents().get(id).await?;
        Ok(row.ok_or_else(|| Problem::not_found("incident"))?)
    }

    /// Ends the access of the next part. Returns whether nothing is left.
    async fn revoke_part(&self, incident: &IncidentRow) -> Result<bool> {
        let waiting = Some(IncidentItemState::Waiting);
        let items = self.store.conn().await?.incidents().items(incident.id, 0, waiting, PART).await?;
        if items.is_empty() {
            self.store.conn().await?.incidents().finish_revoking(incident.id).await?;
            return Ok(true);
        }
        let work = IncidentWork::new(self, incident).await?;
        for mut item in items {
            let (state, detail) = match work.revoke(&mut item).await {
                Err(OperationError::Refused(problem)) => refused(&problem),
                other => other?,
            };
            let item = IncidentItem { state, detail, ..item };
            self.store.conn().await?.incidents().finish_item(incident.id, &item).await?;
        }
        Ok(false)
    }

    /// Restores the access of the next part. Returns whether nothing is left.
    async fn restore_part(&self, incident: &IncidentRow) -> Result<bool> {
        let done = Some(IncidentItemState::Done);
        let items = self.store.conn().await?.incidents().items(incident.id, 0, done, PART).await?;
        if items.is_empty() {
            self.store.conn().await?.incidents().finish_undo(incident.id).await?;
            return Ok(true);
        }
        let work = IncidentWork::new(self, incident).await?;
        for item in items {
            let (state, detail) = match work.restore(&item).await {
                Err(OperationError::Refused(problem)) => (IncidentItemState::Failed, Some(problem.detail)),
                other => other?,
            };
            let item = IncidentItem { state, detail, ..item };
            self.store.conn().await?.incidents().finish_item(incident.id, &item).await?;
        }
        Ok(false)
    }
}

fn refused(problem: &Problem) -> Outcome {
    let state = match problem.code {
        ProblemCode::RunnerDeleted => IncidentItemState::Unchanged,
        _ => IncidentItemState::Failed,
    };
    (state, Some(problem.detail.clone()))
}

/// What the changes of an incident share.
struct IncidentWork<'w> {
    operations: &'w Operations<'w>,
    incident: &'w IncidentRow,
    caller: Caller,
    origin: Origin,
    permission: Administrator,
}

impl<'w> IncidentWork<'w> {
    /// Returns the work in the name of the incident's admin. An incident goes on although they are no admin any more:
    /// they were one when it began.
    async fn new(operations: &'w Operations<'w>, incident: &'w IncidentRow) -> Result<Self> {
        let user = operations.store.conn().await?.users().get(incident.admin).await?;
        let user = user.ok_or_else(|| Problem::not_found("user"))?;
        let caller = Caller { is_admin: true, ..crate::batch::caller_of(user) };
        let origin = Origin {
            ip: incident.request_ip.as_deref().and_then(|ip| ip.parse().ok()),
            user_agent: incident.user_agent.clone(),
            request_id: incident.request_id.clone(),
            ..Origin::default()
        };
        let permission = Administrator::from_caller(&caller, &origin)?.within("incident_id", incident.id);
        Ok(Self { operations, incident, caller, origin, permission })
    }

    async fn revoke(&self, item: &mut IncidentItem) -> Result<Outcome> {
        let (id, reason) = (item.subject, self.incident.reason.as_str());
        match item.kind {
            IncidentItemKind::Team => {
                self.operations.deactivate_team(&self.permission, id.into(), reason).await?;
            }
            IncidentItemKind::User => {
                self.operations.deactivate_user(&self.permission, id.into(), Some(reason)).await?;
            }
            IncidentItemKind::Client => self.set_client(id, false).await?,
            IncidentItemKind::RequestsOfUser => {
                self.operations.end_requests(&self.permission, Requester::User(id.into()), reason).await?;
            }
            IncidentItemKind::RequestsOfClient => {
                self.operations.end_requests(&self.permission, Requester::Client(id.into()), reason).await?;
            }
            IncidentItemKind::Runner => {
                let request = RunnerJobRequest::removal(Actor { caller: &self.caller, origin: &self.origin });
                let runner = request.authorize(self.operations, id.into()).await?;
                if runner.busy {
                    return Ok((IncidentItemState::Failed, Some("it runs a workflow job now".to_owned())));
                }
                item.job = Some(request.submit_or_join(self.operations, &runner).await?.id);
            }
        }
        Ok((IncidentItemState::Done, None))
    }

    async fn restore(&self, item: &IncidentItem) -> Result<Outcome> {
        let (id, comment) = (item.subject, "the incident was undone");
        match item.kind {
            IncidentItemKind::Team => {
                let id: TeamId = id.into();
                let team = self.operations.store.conn().await?.teams().get(id).await?;
                let ours = team.is_some_and(|team| {
                    team.deactivation_reason.as_deref() == Some(self.incident.reason.as_str())
                });
                if !ours {
                    let detail = "it was deactivated again for another reason, or is active";
                    return Ok((IncidentItemState::Unchanged, Some(detail.to_owned())));
                }
                self.operations.reactivate_team(&self.permission, id).await?;
            }
            IncidentItemKind::User => {
                self.operations.activate_user(&self.permission, id.into(), Some(comment)).await?;
            }
            IncidentItemKind::Client => self.set_client(id, true).await?,
            IncidentItemKind::RequestsOfUser
            | IncidentItemKind::RequestsOfClient
            | IncidentItemKind::Runner => {
                let detail = "it has ended for good; it may be requested again";
                return Ok((IncidentItemState::Unchanged, Some(detail.to_owned())));
            }
        }
        Ok((IncidentItemState::Undone, None))
    }

    async fn set_client(&self, id: Uuid, active: bool) -> Result<()> {
        let change = ClientChange { is_active: Some(active), ..ClientChange::default() };
        let reason = Some(self.incident.reason.as_str());
        self.operations.change_client(&self.permission, id.into(), change, reason).await?;
        Ok(())
    }
}
