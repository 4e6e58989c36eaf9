//! Runner names chosen by a caller: check that GitHub has none of that name, and removal of what an earlier attempt left.

use chrono::TimeDelta;
use domain::{BlockedOn, Call, CallState, Job, ProblemCode, RunnerName};
use github::GitHub;
use store::{Counter, StoreError};

use super::{JobOutcome, after_error, runner_lookup, unavailable};
use crate::app::App;

/// Time GitHub gets to list a runner of ours before its name counts as free.
const NAME_GRACE: TimeDelta = TimeDelta::seconds(10);

/// Checks on GitHub that the name the caller chose is free; an exact name cannot be replaced by another one. Returns
/// `None` if it is free.
///
/// The first attempt is made only while the name is free. Therefore an idle runner with this name that belongs to no
/// row was made by an attempt whose response was lost, and is removed.
pub(super) async fn resolve_exact_name(
    app: &App,
    github: &GitHub,
    job: &Job,
    name: &RunnerName,
    calls: &[Call],
) -> Result<Option<JobOutcome>, StoreError> {
    let holder = match github.find_runner(name.as_str()).await {
        Ok(holder) => holder,
        Err(error) => return Ok(Some(after_error(job, &error))),
    };
    let suspected = calls.iter().rev().find(|call| call.state == CallState::EffectSuspected);
    let (holder, call) = match (holder, suspected) {
        (None, Some(call)) if job.now - call.started_at < NAME_GRACE => return Ok(Some(retry_after_grace())),
        (None, _) => return Ok(None),
        (Some(_), None) => return Ok(Some(name_conflict(name))),
        (Some(holder), Some(call)) => (holder, call),
    };
    let bound = app.store.conn().await?.runners().by_github_id(&job.installation, holder.id).await?;
    if bound.is_some() || holder.busy || holder.status != "offline" {
        return Ok(Some(name_conflict(name)));
    }
    match runner_lookup::remove(github, holder.id).await {
        Ok(true) => {}
        Ok(false) => return Ok(Some(name_conflict(name))),
        Err(error) => return Ok(Some(after_error(job, &error))),
    }
    tracing::info!(github_runner_id = holder.id, %name, "the runner of a lost response was removed");
    app.store
        .conn()
        .await?
        .github_calls()
        .conclude(call.id, CallState::Settled, Some(holder.id), None)
        .await?;
    Ok(Some(retry_after_grace()))
}

/// Waits until GitHub's answer about a name is reliable.
pub(super) fn retry_after_grace() -> JobOutcome {
    JobOutcome::Later {
        delay: NAME_GRACE,
        why: BlockedOn::Retry,
        count_as: Counter::Snooze,
        problem: unavailable(),
    }
}

pub(super) fn name_conflict(name: &RunnerName) -> JobOutcome {
    JobOutcome::failed(ProblemCode::RunnerNameConflict, format!("GitHub has a runner called {name} already."))
}
