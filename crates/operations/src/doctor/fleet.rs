//! Checks of workers, schedulers, installations, sync runs, sinks of events and teams, as the database knows them.

use std::collections::BTreeSet;

use domain::error_chain;
use store::{LeaseRow, Store, StoreError, Suspended, SyncRow, WorkerRow};

use super::{Finding, SCHEDULER_LEASE, sinks, teams};

/// Checks the processes. The tables must be up to date.
pub(super) async fn examine(store: &Store) -> Vec<Finding> {
    match try_examine(store).await {
        Ok(findings) => findings,
        Err(error) => {
            let detail = format!("the processes cannot be examined: {}", error_chain(&error));
            vec![Finding::fail("processes", detail, "Repair the database first; its own findings say how.")]
        }
    }
}

async fn try_examine(store: &Store) -> Result<Vec<Finding>, StoreError> {
    let mut conn = store.conn().await?;
    let workers = conn.workers().list().await?;
    let lease = conn.leases().get(SCHEDULER_LEASE).await?;
    let suspended = conn.installations().suspended().await?;
    let syncs = conn.sync_runs().statuses().await?;
    let (streams, dead) = (conn.event_streams().list().await?, conn.event_deliveries().count_dead().await?);
    let shared = conn.teams().shared_groups(teams::MAX_SHARED_GROUPS).await?;
    drop(conn);
    let now = store.now().await?;
    let mut findings = judge_workers(&workers);
    findings.push(judge_scheduler(lease.as_ref()));
    findings.extend(suspended.iter().map(judge_suspension));
    findings.extend(syncs.iter().filter_map(judge_sync));
    findings.extend(sinks::judge(&streams, &dead, now));
    findings.extend(teams::judge(&shared));
    Ok(findings)
}

fn judge_workers(workers: &[WorkerRow]) -> Vec<Finding> {
    let alive: Vec<&WorkerRow> = workers.iter().filter(|worker| worker.alive).collect();
    if alive.is_empty() {
        let repair = "Start `rts worker`. If one runs, its log says why it cannot reach the database.";
        return vec![Finding::fail("processes", "no worker is alive", repair)];
    }
    let slots: i32 = alive.iter().map(|worker| worker.concurrency).sum();
    let mut findings =
        vec![Finding::ok("processes", format!("{} workers with {slots} slots are alive", alive.len()))];
    let versions: BTreeSet<&str> = alive.iter().map(|worker| worker.version.as_str()).collect();
    if versions.len() > 1 {
        let detail = format!(
            "the workers have different versions: {}",
            versions.into_iter().collect::<Vec<_>>().join(", ")
        );
        findings.push(Finding::warn(
            "versions",
            detail,
            "Finish the upgrade: restart the workers of the older version.",
        ));
    } else if versions.iter().any(|version| *version != env!("CARGO_PKG_VERSION")) {
        let detail = format!(
            "the workers have version {}, and this is {}",
            alive[0].version,
            env!("CARGO_PKG_VERSION")
        );
        findings.push(Finding::warn(
            "versions",
            detail,
            "Finish the upgrade, so that all processes have one version.",
        ));
    }
    findings
}

fn judge_scheduler(lease: Option<&LeaseRow>) -> Finding {
    match lease {
        Some(lease) if lease.holds => {
            Finding::ok("processes", format!("the scheduler {} leads", lease.holder))
        }
        _ => {
            let repair = "Start `rts scheduler`. Without it no sync runs, and no lost job is put back.";
            Finding::fail("processes", "no scheduler leads", repair)
        }
    }
}

fn judge_suspension(suspended: &Suspended) -> Finding {
    let detail =
        format!("GitHub has suspended the installation {}; its jobs are paused", suspended.installation);
    let repair = "Ask an owner of the organization to unsuspend the App on GitHub (Settings, GitHub Apps). Its jobs then go on.";
    Finding::fail("github", detail, repair)
}

fn judge_sync(row: &SyncRow) -> Option<Finding> {
    if row.removals_held > 0 && !row.removals_confirmed {
        let detail =
            format!("{} removals of {} are held back: too many at once", row.removals_held, row.installation);
        let repair = "Look at `rts sync status` and at GitHub. If the runners are gone, run `rts sync confirm-removals`.";
        return Some(Finding::warn("sync", detail, repair));
    }
    if row.last_sync_result.as_deref() == Some("failed") {
        let error = row.last_sync_error.as_deref().unwrap_or("no reason is recorded");
        let detail = format!("the last sync run of {} failed: {error}", row.installation);
        return Some(Finding::fail(
            "sync",
            detail,
            "Run `rts doctor --only github` on the server, and repair what it finds.",
        ));
    }
    None
}
