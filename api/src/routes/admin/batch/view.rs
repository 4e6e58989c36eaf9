//! Batches as the API shows them.

use chrono::{DateTime, Utc};
use domain::{BatchAction, BatchItemState, BatchState};
use operations::BatchRequest;
use serde::Serialize;
use store::{BatchItem, BatchRow, BatchSubject};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::openapi;

/// A batch and its progress.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Batch)]
pub(crate) struct BatchView {
    /// Id of the batch; null for a preview.
    pub(crate) id: Option<Uuid>,
    /// Change of each item.
    #[schema(schema_with = openapi::batch_action)]
    pub(crate) action: BatchAction,
    /// State; null for a preview.
    #[schema(schema_with = openapi::batch_state_or_null)]
    pub(crate) state: Option<BatchState>,
    /// Whether it has ended and no item failed; for a preview, true.
    pub(crate) success: bool,
    /// Whether this is a preview: nothing was changed.
    pub(crate) dry_run: bool,
    /// Number of items.
    pub(crate) total: i64,
    /// Number of items that were changed; for a preview, that would be tried.
    pub(crate) affected_count: i64,
    /// Number of items that were so already or were spared.
    pub(crate) skipped_count: i64,
    /// Number of items that were refused.
    pub(crate) failed_count: i64,
    /// Reason, for the audit log.
    pub(crate) comment: String,
    /// Why it was stopped.
    pub(crate) stop_reason: Option<String>,
    /// Time of the start.
    pub(crate) created_at: Option<DateTime<Utc>>,
    /// Time of the end.
    pub(crate) finished_at: Option<DateTime<Utc>>,
    /// Items, in order, at most 1,000.
    pub(crate) details: Vec<BatchItemView>,
}

/// An item of a batch. It has the id and name of a person, a team or a runner, or the id of a failed job and the name of
/// its runner.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = BatchItem)]
pub(crate) struct BatchItemView {
    /// Number of the item, from 1.
    pub(crate) number: i32,
    /// Id of the person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user_id: Option<Uuid>,
    /// E-mail address of the person, or their principal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) email: Option<String>,
    /// Id of the runner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) runner_id: Option<Uuid>,
    /// Name of the runner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) runner_name: Option<String>,
    /// Id of the team.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) team_id: Option<Uuid>,
    /// Name of the team.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) team_name: Option<String>,
    /// Id of the failed job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failed_job_id: Option<Uuid>,
    /// Outcome: `waiting`, `done`, `unchanged`, `spared` or `failed`.
    pub(crate) status: &'static str,
    /// Explanation of the outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
    /// Reason of a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// The job that removes the runner, or that took the place of the failed one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) job_id: Option<Uuid>,
}

/// Batches without their items.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BatchList {
    /// Newest first.
    pub(crate) batches: Vec<BatchView>,
}

impl BatchView {
    pub(super) fn new(row: BatchRow, items: Vec<BatchItem>) -> Self {
        let action = row.action;
        Self {
            id: Some(row.id),
            action,
            state: Some(row.state),
            success: row.state == BatchState::Done && row.failed == 0,
            dry_run: false,
            total: row.total,
            affected_count: row.done,
            skipped_count: row.skipped,
            failed_count: row.failed,
            comment: row.comment,
            stop_reason: row.stop_reason,
            created_at: Some(row.created_at),
            finished_at: row.finished_at,
            details: items.into_iter().map(|item| item_view(action, item)).collect(),
        }
    }

    /// Returns what a batch would do.
    pub(super) fn preview(request: &BatchRequest, subjects: &[BatchSubject]) -> Self {
        let total = i64::try_from(subjects.len()).unwrap_or(i64::MAX);
        let shown = usize::try_from(super::MAX_SHOWN_ITEMS).unwrap_or(usize::MAX);
        let item = |(number, subject): (i32, &BatchSubject)| BatchItem {
            number,
            subject: subject.id,
            name: subject.name.clone(),
            state: BatchItemState::Waiting,
            detail: None,
            job: None,
        };
        Self {
            id: None,
            action: request.action,
            state: None,
            success: true,
            dry_run: true,
            total,
            affected_count: total,
            skipped_count: 0,
            failed_count: 0,
            comment: request.comment.clone(),
            stop_reason: None,
            created_at: None,
            finished_at: None,
            details: (1..)
                .zip(subjects)
                .take(shown)
                .map(|one| item_view(request.action, item(one)))
                .collect(),
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.state == Some(BatchState::Running)
    }
}

fn item_view(action: BatchAction, item: BatchItem) -> BatchItemView {
    let failed = item.state == BatchItemState::Failed;
    let (detail, error) = if failed { (None, item.detail) } else { (item.detail, None) };
    let view = BatchItemView {
        number: item.number,
        status: item.state.as_str(),
        detail,
        error,
        job_id: item.job.map(Uuid::from),
        ..BatchItemView::default()
    };
    let (id, name) = (Some(item.subject), Some(item.name));
    match action {
        BatchAction::DisableUsers | BatchAction::RestoreUsers => {
            BatchItemView { user_id: id, email: name, ..view }
        }
        BatchAction::DeleteRunners => BatchItemView { runner_id: id, runner_name: name, ..view },
        BatchAction::DeactivateTeams | BatchAction::ReactivateTeams => {
            BatchItemView { team_id: id, team_name: name, ..view }
        }
        BatchAction::RetryJobs | BatchAction::DiscardJobs => {
            BatchItemView { failed_job_id: id, runner_name: name, ..view }
        }
    }
}
