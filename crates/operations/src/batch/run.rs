//! Work on batches, in a request or in a scheduler. Operations on single items may be repeated, so an item whose outcome
//! was lost by a crash is worked on again.

use std::time::Duration;

use chrono::TimeDelta;
use domain::{
    BatchAction, BatchItemState, Caller, JobId, Principal, Problem, ProblemCode, Requester, RunnerId, User,
    UserId,
};
use store::{BatchItem, BatchOutcome, BatchRow, Dismissal};
use tokio::time::Instant;
use uuid::Uuid;

use super::{not_found, origin_of};
use crate::{Actor, Administrator, OperationError, Operations, ProvisionRules, Result, RunnerJobRequest};

/// Longest time that one call works on a batch.
pub const BATCH_TIME: Duration = Duration::from_secs(10);
/// Time for which a process has the sole right to work on a batch. It is renewed with every part.
const TURN: TimeDelta = TimeDelta::seconds(30);
/// Items of one part.
const PART: i64 = 20;

impl Operations<'_> {
    /// Works on a batch for up to `time`. `worker` names the process. Returns the batch as it is then.
    ///
    /// # Errors
    /// `not_found`; database errors, after which another call goes on.
    pub async fn run_batch(
        &self,
        rules: &ProvisionRules<'_>,
        id: Uuid,
        worker: &str,
        time: Duration,
    ) -> Result<BatchRow> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            if !self.store.conn().await?.batch_runs().take(id, worker, TURN).await? {
                break;
            }
            let items = self.store.conn().await?.batch_runs().waiting(id, PART).await?;
            let batch = self.batch(id).await?;
            let Some(admin) = self.batch_admin(&batch).await? else {
                self.store.conn().await?.batch_runs().stop(id, "its admin is no admin any more").await?;
                break;
            };
            for item in &items {
                let outcome = self.work_on(rules, &batch, &admin, item).await?;
                self.store.conn().await?.batch_runs().finish_item(id, item.number, &outcome).await?;
                if Instant::now() >= end {
                    break;
                }
            }
            if self.store.conn().await?.batch_runs().finish(id).await? {
                break;
            }
        }
        self.store.conn().await?.batch_runs().release(id, worker).await?;
        self.batch(id).await
    }

    async fn batch(&self, id: Uuid) -> Result<BatchRow> {
        Ok(self.store.conn().await?.batch_runs().get(id).await?.ok_or_else(not_found)?)
    }

    /// Returns the admin of a batch as a caller; `None` if they may no longer administer.
    async fn batch_admin(&self, batch: &BatchRow) -> Result<Option<Caller>> {
        let user = self.store.conn().await?.users().get(batch.admin).await?;
        Ok(user.filter(|user| user.is_active && user.is_admin).map(caller_of))
    }

    /// Changes one item.
    ///
    /// # Errors
    /// Database errors; a refusal is an outcome.
    async fn work_on(
        &self,
        rules: &ProvisionRules<'_>,
        batch: &BatchRow,
        admin: &Caller,
        item: &BatchItem,
    ) -> Result<BatchOutcome> {
        let origin = origin_of(batch);
        let permission = Administrator::from_caller(admin, &origin)?.within("batch_id", batch.id);
        let work = BatchWork { operations: self, rules, batch, admin, permission: &permission };
        let changed = match batch.action {
            BatchAction::DisableUsers => work.disable(item.subject.into()).await,
            BatchAction::RestoreUsers => work.restore(item.subject.into()).await,
            BatchAction::DeactivateTeams => work.set_team(item.subject, false).await,
            BatchAction::ReactivateTeams => work.set_team(item.subject, true).await,
            BatchAction::DeleteRunners => {
                work.remove_runner(Actor { caller: admin, origin: &origin }, item.subject.into()).await
            }
            BatchAction::RetryJobs => work.retry_job(item.subject.into()).await,
            BatchAction::DiscardJobs => work.discard_job(item.subject.into()).await,
        };
        match changed {
            Err(OperationError::Refused(problem)) => Ok(refused(&problem)),
            other => other,
        }
    }
}

/// Returns a person as a caller without teams.
pub(crate) fn caller_of(user: User) -> Caller {
    let (issuer, subject) = (user.issuer.unwrap_or_default(), user.subject.unwrap_or_default());
    Caller {
        requester: Requester::User(user.id),
        identity: user.email.clone().unwrap_or_else(|| format!("{issuer}#{subject}")),
        principal: Principal::new(&issuer, &subject),
        email: user.email,
        claims: None,
        display_name: user.display_name,
        is_admin: user.is_admin,
        is_viewer: user.is_viewer,
        can_use_jit: user.can_use_jit,
        can_use_registration_token: user.can_use_registration_token,
        teams: Vec::new(),
    }
}

/// Returns the outcome of a refused item.
fn refused(problem: &Problem) -> BatchOutcome {
    let state = match problem.code {
        ProblemCode::LastAdmin => BatchItemState::Spared,
        ProblemCode::RunnerDeleted => BatchItemState::Unchanged,
        _ => BatchItemState::Failed,
    };
    outcome(state, Some(&problem.detail))
}

fn outcome(state: BatchItemState, detail: Option<&str>) -> BatchOutcome {
    BatchOutcome { state, detail: detail.map(str::to_owned), job: None }
}

fn removal(job: JobId) -> BatchOutcome {
    BatchOutcome { job: Some(job), ..outcome(BatchItemState::Done, Some("its removal is ordered")) }
}

/// What the items of a batch share.
struct BatchWork<'w> {
    operations: &'w Operations<'w>,
    rules: &'w ProvisionRules<'w>,
    batch: &'w BatchRow,
    admin: &'w Caller,
    permission: &'w Administrator,
}

impl BatchWork<'_> {
    async fn disable(&self, id: UserId) -> Result<BatchOutcome> {
        if self.admin.requester == Requester::User(id) {
            return Ok(outcome(BatchItemState::Spared, Some("this is you")));
        }
        let user = self.operations.store.conn().await?.users().get(id).await?;
        let user = user.ok_or_else(|| Problem::not_found("user"))?;
        if user.is_admin && self.batch.selector["exclude_admins"] != false {
            return Ok(outcome(BatchItemState::Spared, Some("this is an admin, and exclude_admins is set")));
        }
        if !user.is_active {
            return Ok(outcome(BatchItemState::Unchanged, Some("deactivated before")));
        }
        self.operations.deactivate_user(self.permission, id, Some(&self.batch.comment)).await?;
        Ok(outcome(BatchItemState::Done, None))
    }

    async fn restore(&self, id: UserId) -> Result<BatchOutcome> {
        let user = self.operations.store.conn().await?.users().get(id).await?;
        let user = user.ok_or_else(|| Problem::not_found("user"))?;
        if user.is_active {
            return Ok(outcome(BatchItemState::Unchanged, Some("active before")));
        }
        self.operations.activate_user(self.permission, id, Some(&self.batch.comment)).await?;
        Ok(outcome(BatchItemState::Done, None))
    }

    async fn set_team(&self, id: Uuid, active: bool) -> Result<BatchOutcome> {
        let team = self.operations.store.conn().await?.teams().get(id.into()).await?;
        let team = team.ok_or_else(|| Problem::not_found("team"))?;
        if team.is_active == active {
            return Ok(outcome(BatchItemState::Unchanged, Some("it was so before")));
        }
        if active {
            self.operations.reactivate_team(self.permission, id.into()).await?;
        } else {
            let reason = self.batch.selector["reason"].as_str().unwrap_or(&self.batch.comment);
            self.operations.deactivate_team(self.permission, id.into(), reason).await?;
        }
        Ok(outcome(BatchItemState::Done, None))
    }

    async fn remove_runner(&self, by: Actor<'_>, id: RunnerId) -> Result<BatchOutcome> {
        let request = RunnerJobRequest::removal(by);
        let runner = request.authorize(self.operations, id).await?;
        let job = request.submit_or_join(self.operations, &runner).await?;
        Ok(removal(job.id))
    }

    async fn retry_job(&self, id: JobId) -> Result<BatchOutcome> {
        if let Some(outcome) = self.dealt_with(id).await? {
            return Ok(outcome);
        }
        let comment = Some(self.batch.comment.as_str());
        let made = self.operations.retry_job(self.rules, self.permission, id, comment).await?;
        Ok(BatchOutcome {
            job: Some(made.id),
            ..outcome(BatchItemState::Done, Some("its runner is asked for again"))
        })
    }

    async fn discard_job(&self, id: JobId) -> Result<BatchOutcome> {
        if let Some(outcome) = self.dealt_with(id).await? {
            return Ok(outcome);
        }
        self.operations.discard_job(self.permission, id, Some(&self.batch.comment)).await?;
        Ok(outcome(BatchItemState::Done, None))
    }

    /// Returns the outcome of a job that an admin, or an earlier try of this item, has dealt with.
    async fn dealt_with(&self, id: JobId) -> Result<Option<BatchOutcome>> {
        let decision = self.operations.store.conn().await?.jobs().dismissal(id).await?;
        Ok(decision.map(|Dismissal { by, retried_as }| {
            let detail = match retried_as {
                Some(_) => format!("{by} has asked for it again"),
                None => format!("{by} has discarded it"),
            };
            BatchOutcome { job: retried_as, ..outcome(BatchItemState::Unchanged, Some(&detail)) }
        }))
    }
}
