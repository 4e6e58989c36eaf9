//! Batches: one change of many people, teams, runners or failed jobs. Each item is one call of the operation for a single one, in a
//! transaction of its own.

mod run;
mod selector;

use domain::{BatchAction, Caller, Origin, Problem, ProblemCode, UserId};
use serde_json::json;
use store::{BatchRow, BatchSubject, NewBatch, Tx};
use uuid::Uuid;

pub(crate) use self::run::caller_of;
pub use self::{run::BATCH_TIME, selector::BatchSelector};
use crate::{
    Actor, Administrator, Operations, Result,
    validate::{MAX_REASON, check_text, settle},
};

/// Shortest comment of a batch, in characters.
const MIN_COMMENT: usize = 10;
/// Most items of one batch.
const MAX_ITEMS: usize = 10_000;
/// Share of the active people, in percent, above which the caller must state how many are meant.
const LARGE_PERCENT: i64 = 20;
/// Number of people up to which a batch is never large.
const NEVER_LARGE: i64 = 5;

/// A batch to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchRequest {
    /// Change of each item.
    pub action: BatchAction,
    /// The items.
    pub selector: BatchSelector,
    /// Reason, for the audit rows.
    pub comment: String,
    /// Number of items that the caller expects.
    pub expected_count: Option<i64>,
}

impl Operations<'_> {
    /// Returns the items that a batch would have. Nothing is written, and the comment is not checked.
    ///
    /// # Errors
    /// `validation_failed`; database errors.
    pub async fn preview_batch(
        &self,
        _: &Administrator,
        request: &BatchRequest,
    ) -> Result<Vec<BatchSubject>> {
        let mut errors = Vec::new();
        request.selector.check(request.action, &mut errors);
        settle(errors)?;
        let mut tx = self.store.begin().await?;
        selector::select(&mut tx, request).await
    }

    /// Selects the items and writes the batch. [`Self::run_batch`] works on it.
    ///
    /// # Errors
    /// `validation_failed`, also if the selector matches another number of items than expected; `admin_required` for a
    /// machine client; database errors.
    pub async fn start_batch(
        &self,
        by: Actor<'_>,
        admin: &Administrator,
        request: &BatchRequest,
    ) -> Result<BatchRow> {
        check(request)?;
        let person = person(by.caller)?;
        let mut tx = self.store.begin().await?;
        let subjects = selector::select(&mut tx, request).await?;
        check_count(&mut tx, request, person, &subjects).await?;
        let batch = NewBatch {
            id: Uuid::now_v7(),
            action: request.action,
            admin: person,
            selector: request.selector.describe(),
            comment: request.comment.clone(),
            origin: by.origin.clone(),
        };
        tx.batch_runs().insert(&batch, &subjects).await?;
        tx.batch_runs().finish(batch.id).await?;
        let details = json!({ "batch_id": batch.id, "action": batch.action, "selector": batch.selector,
            "count": subjects.len(), "comment": batch.comment });
        tx.audit().write(&admin.record("batch.start", None, details)).await?;
        let row = tx.batch_runs().get(batch.id).await?;
        tx.commit().await?;
        Ok(row.ok_or_else(not_found)?)
    }

    /// Stops a batch after the item that is being worked on.
    ///
    /// # Errors
    /// `not_found`, `validation_failed` if the batch has ended; database errors.
    pub async fn stop_batch(&self, admin: &Administrator, id: Uuid) -> Result<BatchRow> {
        let mut tx = self.store.begin().await?;
        let before = tx.batch_runs().get(id).await?.ok_or_else(not_found)?;
        if !tx.batch_runs().stop(id, "an admin stopped it").await? {
            return Err(wrong_state(&before, "running").into());
        }
        self.finish_change(tx, admin, "batch.stop", id).await
    }

    /// Lets a stopped batch go on, from then on for this admin.
    ///
    /// # Errors
    /// `not_found`, `validation_failed` if the batch is not stopped, `admin_required` for a machine client; database
    /// errors.
    pub async fn resume_batch(&self, by: Actor<'_>, admin: &Administrator, id: Uuid) -> Result<BatchRow> {
        let person = person(by.caller)?;
        let mut tx = self.store.begin().await?;
        let before = tx.batch_runs().get(id).await?.ok_or_else(not_found)?;
        if !tx.batch_runs().resume(id, person).await? {
            return Err(wrong_state(&before, "stopped").into());
        }
        self.finish_change(tx, admin, "batch.resume", id).await
    }

    async fn finish_change(
        &self,
        mut tx: Tx,
        admin: &Administrator,
        event_type: &'static str,
        id: Uuid,
    ) -> Result<BatchRow> {
        let row = tx.batch_runs().get(id).await?.ok_or_else(not_found)?;
        let details = json!({ "batch_id": id, "action": row.action, "count": row.total,
            "left": row.total - row.done - row.skipped - row.failed });
        tx.audit().write(&admin.record(event_type, None, details)).await?;
        tx.commit().await?;
        Ok(row)
    }
}

fn not_found() -> Problem {
    Problem::not_found("batch")
}

fn wrong_state(batch: &BatchRow, needed: &str) -> Problem {
    Problem::field("path:batch_id", format!("the batch is {}, not {needed}", batch.state))
}

/// Returns the person who calls; batches run in their name.
fn person(caller: &Caller) -> Result<UserId> {
    let problem =
        || Problem::new(ProblemCode::AdminRequired, "Only an admin who is a person may start a batch.");
    Ok(caller.requester.user().ok_or_else(problem)?)
}

fn check(request: &BatchRequest) -> Result<()> {
    let mut errors = Vec::new();
    check_text(&mut errors, "/comment", &request.comment, MAX_REASON);
    if request.comment.chars().count() < MIN_COMMENT {
        errors =
            vec![domain::FieldError::new("/comment", "10 to 500 characters: the reason, for the audit log")];
    }
    request.selector.check(request.action, &mut errors);
    Ok(settle(errors)?)
}

/// Compares the number of items with the expected one. A batch that takes the access of more than a fifth of the active
/// people needs one; people whom it spares do not count.
async fn check_count(
    tx: &mut Tx,
    request: &BatchRequest,
    admin: UserId,
    subjects: &[BatchSubject],
) -> Result<()> {
    let found = i64::try_from(subjects.len()).unwrap_or(i64::MAX);
    if let Some(expected) = request.expected_count {
        if expected == found {
            return Ok(());
        }
        let detail = format!("the selector matches {found} now; nothing was changed");
        return Err(Problem::field("/expected_count", detail).into());
    }
    if request.action == BatchAction::DisableUsers && found > NEVER_LARGE {
        let spare_admins = request.selector.spare_admins;
        let changed = tx.batch_runs().count_deactivations(subjects, admin, spare_admins).await?;
        let people = tx.batch_runs().count_active_users().await?;
        if changed > NEVER_LARGE && changed * 100 > people * LARGE_PERCENT {
            let detail = format!(
                "this would deactivate {changed} of {people} active people; send {found}, the number of matches, to say that they are meant"
            );
            return Err(Problem::field("/expected_count", detail).into());
        }
    }
    Ok(())
}

/// The request of a batch as its items' audit rows name it.
fn origin_of(batch: &BatchRow) -> Origin {
    Origin {
        ip: batch.request_ip.as_deref().and_then(|ip| ip.parse().ok()),
        user_agent: batch.user_agent.clone(),
        request_id: batch.request_id.clone(),
        ..Origin::default()
    }
}
