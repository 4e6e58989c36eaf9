//! Sync: one comparison of all runner rows with all pages of GitHub's list. A runner that is not listed is counted and
//! checked by a job; the sync itself removes nothing.

mod apply;
mod forgotten;
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

/// Name of the step in logs and metrics.
const STEP_NAME: &str = "snapshot";
/// Interval at which the scheduler checks whether a sync run is due.
const DUE_CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// Time limit of one run: a thousand pages, or some hundred pages that wait for their share of the budget.
const MAX_RUN_TIME: Duration = Duration::from_mins(30);

/// Runs the sync of each installation when it is due and this scheduler leads. Each installation has a loop of its own,
/// so that a slow GitHub does not delay the others. An App pool is one installation: its list is read once.
pub(crate) async fn run_loop(
    parts: Parts,
    leadership: Leadership,
    draining: CancellationToken,
) -> Result<(), Infallible> {
    let handle = parts.progress.register("snapshot", MAX_RUN_TIME * 2);
    let all = parts
        .installations
        .pools()
        .map(|installation| run_installation(&parts, &leadership, installation, &handle));
    draining.run_until_cancelled(join_all(all)).await;
    // With no installation there is no loop to wait for.
    draining.cancelled().await;
    handle.retire();
    Ok(())
}

async fn run_installation(
    parts: &Parts,
    leadership: &Leadership,
    installation: &InstallationId,
    handle: &LoopHandle,
) {
    let mut ticks = interval(DUE_CHECK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut cache = PageCache::default();
    loop {
        ticks.tick().await;
        run_when_due(parts, leadership, installation, &mut cache).await;
        handle.tick();
    }
}

async fn run_when_due(
    parts: &Parts,
    leadership: &Leadership,
    installation: &InstallationId,
    cache: &mut PageCache,
) {
    if !leadership.leads() {
        return;
    }
    let due =
        async { parts.store.conn().await?.sync_runs().is_due(installation, sync_interval(parts)).await };
    match timeout(periodic::MAX_STEP_TIME, due).await {
        Ok(Ok(true)) => {}
        Ok(Err(error)) => return tracing::warn!(%error, "the time of the last sync run could not be read"),
        Ok(Ok(false)) | Err(_) => return,
    }
    let step =
        async { run(parts, installation, cache).await.and_then(|passed| step_result(installation, &passed)) };
    periodic::run_step_within(MAX_RUN_TIME, STEP_NAME, step).await;
}

/// Converts the result of a run into a step result. A run that read all pages is a success; a run that was paused is
/// neither success nor failure.
fn step_result(installation: &InstallationId, passed: &SyncResult) -> Result<u64, StepError> {
    match passed.result {
        // The list of a busy organization changes while it is read. Runners that such a run leaves open are checked one
        // by one.
        "ok" | "held" | "incomplete" => {
            periodic::record_success(STEP_NAME, installation);
            Ok(passed.sent)
        }
        "paused" => Ok(passed.sent),
        result => {
            tracing::warn!(%installation, result, "sync incomplete; the table `sync_status` has the reason");
            Err(StepError::Incomplete)
        }
    }
}

fn sync_interval(parts: &Parts) -> TimeDelta {
    TimeDelta::from_std(parts.sync.every).unwrap_or(TimeDelta::minutes(5))
}

/// Runs one sync of one installation and records its result. `cache` makes the next run cheaper.
///
/// # Errors
/// Returns errors of the database and the queue. A failure of GitHub is a result, not an error.
pub async fn run(
    parts: &Parts,
    installation: &InstallationId,
    cache: &mut PageCache,
) -> Result<SyncResult, StepError> {
    let mut conn = parts.store.conn().await?;
    // An installation that was configured just now has no row yet.
    conn.installations().ensure(std::slice::from_ref(installation)).await?;
    let began = conn.sync_runs().begin(installation, sync_interval(parts)).await?;
    drop(conn);
    if !parts.installations.has_pool(installation) {
        return record_without_list(parts, installation, "failed", "there is no credential for it").await;
    }
    match listing::read_list(parts, installation, cache).await? {
        Some(listed) => apply_or_record_failure(parts, installation, &listed, began).await,
        None => record_without_list(parts, installation, "paused", "the installation is paused").await,
    }
}

/// Applies what a run has listed, a second time if another transaction was in the way. A further failure is recorded as
/// a failed run, and the next run follows within a minute.
async fn apply_or_record_failure(
    parts: &Parts,
    installation: &InstallationId,
    listed: &Listed<'_>,
    began: DateTime<Utc>,
) -> Result<SyncResult, StepError> {
    let mut applied = apply::apply(parts, installation, listed, began).await;
    if let Err(StepError::Store(error)) = &applied
        && error.is_transaction_conflict()
    {
        tracing::info!(%installation, error = error as &dyn std::error::Error,
            "another transaction was in the way of a sync run; its findings are written again");
        applied = apply::apply(parts, installation, listed, began).await;
    }
    if let Err(StepError::Store(error)) = &applied
        && let Err(error) =
            record_without_list(parts, installation, "failed", &format!("not written: {error}")).await
    {
        tracing::warn!(%installation, %error, "the failed sync run could not be recorded");
    }
    applied
}

/// Records a run that has no list to compare.
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
