//! One pass over the whole fleet: every page of GitHub's listing, compared with the rows. What it merely did not see is
//! counted and looked at again by a job; nothing is removed here.

mod apply;
mod listing;
pub mod runner_versions;
mod self_registered;
pub mod stale;
pub mod unused;

use std::{convert::Infallible, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use domain::InstallationId;
use futures::future::join_all;
use runtime::health::LoopHandle;
use serde_json::json;
use store::SyncEnd;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

pub use apply::SyncResult;
use listing::Listed;
pub use listing::PageCache;

use crate::{Leadership, Parts, StepError, periodic};

/// Its name in logs and metrics.
const STEP_NAME: &str = "snapshot";
/// How often it is looked whether a pass is due.
const DUE_CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// Longest time one run may take: a thousand pages, or some hundred that wait for their share of the budget.
const MAX_RUN_TIME: Duration = Duration::from_mins(30);

/// Takes a pass over every installation when it is due, while this scheduler leads. Each has a rhythm of its own: a slow
/// GitHub holds up nobody else's pass.
pub(crate) async fn run_loop(
    parts: Parts,
    leadership: Leadership,
    draining: CancellationToken,
) -> Result<(), Infallible> {
    let handle = parts.progress.register("snapshot", MAX_RUN_TIME * 2);
    let all = parts
        .installations
        .iter()
        .map(|(installation, _)| run_installation(&parts, &leadership, installation, &handle));
    draining.run_until_cancelled(join_all(all)).await;
    // Without any installation there is nothing to do but to wait for the end.
    draining.cancelled().await;
    handle.retire();
    Ok(())
}

async fn run_installation(
    parts: &Parts,
    leadership: &Leadership,
    installation: &InstallationId,
    beat: &LoopHandle,
) {
    let mut ticks = interval(DUE_CHECK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut memory = PageCache::default();
    loop {
        ticks.tick().await;
        when_due(parts, leadership, installation, &mut memory).await;
        beat.tick();
    }
}

async fn when_due(
    parts: &Parts,
    leadership: &Leadership,
    installation: &InstallationId,
    tracker: &mut PageCache,
) {
    if !leadership.leads() {
        return;
    }
    let due = async { parts.store.conn().await?.sync_runs().is_due(installation, every(parts)).await };
    match timeout(periodic::MAX_STEP_TIME, due).await {
        Ok(Ok(true)) => {}
        Ok(Err(error)) => return tracing::warn!(%error, "whether a pass is due could not be read"),
        Ok(Ok(false)) | Err(_) => return,
    }
    let step =
        async { run(parts, installation, tracker).await.and_then(|passed| judge(installation, &passed)) };
    periodic::run_step_within(MAX_RUN_TIME, STEP_NAME, step).await;
}

/// Every run that has read all pages is a success. One that was told to wait is neither success nor failure.
fn judge(installation: &InstallationId, passed: &SyncResult) -> Result<u64, StepError> {
    match passed.result {
        // The list of a busy fleet changes while it is read; what such a run leaves open is checked one by one.
        "ok" | "held" | "incomplete" => {
            periodic::record_success(STEP_NAME, installation);
            Ok(passed.sent)
        }
        "paused" => Ok(passed.sent),
        result => {
            tracing::warn!(%installation, result, "a pass did not see the whole fleet; `sync_status` says why");
            Err(StepError::Incomplete)
        }
    }
}

fn every(parts: &Parts) -> TimeDelta {
    TimeDelta::from_std(parts.sync.every).unwrap_or(TimeDelta::minutes(5))
}

/// Takes one pass over one installation and notes how it went. `memory` makes the next one cheaper.
///
/// # Errors
/// The database's and the queue's; what GitHub does is a result, not an error.
pub async fn run(
    parts: &Parts,
    installation: &InstallationId,
    tracker: &mut PageCache,
) -> Result<SyncResult, StepError> {
    let mut conn = parts.store.conn().await?;
    // One that was configured just now has no row yet.
    conn.installations().ensure(std::slice::from_ref(installation)).await?;
    let began = conn.sync_runs().begin(installation, every(parts)).await?;
    drop(conn);
    let Some(github) = parts.installations.get(installation) else {
        return record_without_list(parts, installation, "failed", "there is no credential for it").await;
    };
    match listing::read_list(parts, (installation, github), tracker).await? {
        Some(listed) => apply_or_note(parts, installation, (&listed, began)).await,
        None => record_without_list(parts, installation, "paused", "GitHub told us to wait").await,
    }
}

/// Writes the findings down, once more when another transaction was in the way. What fails then is noted as a failed run,
/// and the next one follows within a minute.
async fn apply_or_note(
    parts: &Parts,
    installation: &InstallationId,
    (listed, began): (&Listed<'_>, DateTime<Utc>),
) -> Result<SyncResult, StepError> {
    let mut applied = apply::apply(parts, installation, (listed, began)).await;
    if let Err(StepError::Store(error)) = &applied
        && error.is_transaction_conflict()
    {
        tracing::info!(%installation, error = error as &dyn std::error::Error,
            "another transaction was in the way of a run; its findings are written again");
        applied = apply::apply(parts, installation, (listed, began)).await;
    }
    if let Err(StepError::Store(error)) = &applied
        && let Err(error) =
            record_without_list(parts, installation, "failed", &format!("not written: {error}")).await
    {
        tracing::warn!(%installation, %error, "the failed run could not be noted");
    }
    applied
}

/// Notes a pass that saw nothing to compare.
async fn record_without_list(
    parts: &Parts,
    installation: &InstallationId,
    result: &'static str,
    why: &str,
) -> Result<SyncResult, StepError> {
    let end =
        SyncEnd { result, error: Some(why.to_owned()), counts: json!({}), held: 0, approval_used: false };
    parts.store.conn().await?.sync_runs().end(installation, &end).await?;
    Ok(SyncResult { result, ..SyncResult::default() })
}
