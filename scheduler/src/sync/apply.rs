//! Application of a sync run's findings to the database, in a few statements for any number of runners.
//!
//! A sync run deletes no runner. It changes states and orders jobs, each of which checks one runner before it acts. If
//! the jobs might remove too many runners, they are held until an admin approves (the removal brake).

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use domain::{
    ActionTaken, AuditEntry, InstallationId, Job, JobParams, MISSES_OF_ANY_KIND, Removal, RunnerId,
    SecurityEvent, SeenRunner, Severity, Source, Suspect, SyncFindings, SyncPass,
};
use operations::service_job;
use serde_json::json;
use store::{NewJob, SyncEnd, SyncStart, Tx};

use super::{Listed, forgotten, self_registered};
use crate::{Parts, StepError, enqueue::enqueue};

/// Rows read and compared at once.
const ROWS_AT_ONCE: i64 = 5000;
/// Checks of listed runners, and removals, of one run; later runs find the others again.
const MAX_CHECKS: usize = 2000;
/// Checks of unlisted runners of one run: two runs cover 5,000 ended runners. The next run begins with the others.
const MAX_ABSENCE_CHECKS: usize = 2500;
/// Unmanaged runners stored per installation.
const MAX_UNMANAGED: usize = 20_000;

/// Result of one sync run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncResult {
    /// `ok`, `held`, `incomplete`, `paused` or `failed`.
    pub result: &'static str,
    /// Runners listed by GitHub.
    pub listed: usize,
    /// Rows whose status changed.
    pub changed: usize,
    /// Live rows that a complete run did not list.
    pub missing: usize,
    /// Live rows that the run did not list, complete or not.
    pub unlisted: usize,
    /// Jobs enqueued.
    pub sent: u64,
    /// Jobs held back because they might remove too many runners at once.
    pub held: usize,
    /// Requests sent to GitHub.
    pub requests: u32,
}

/// Compares the rows with the listed runners, writes the differences and orders the checks. Job rows are written before
/// runner rows: a worker locks them in this order at the end of a check.
pub(super) async fn apply(
    parts: &Parts,
    installation: &InstallationId,
    listed: &Listed<'_>,
    began: DateTime<Utc>,
) -> Result<SyncResult, StepError> {
    let self_registered = self_registered::check_policies(parts, installation, &listed.seen).await?;
    let mut tx = parts.store.begin().await?;
    let Some(start) = tx.sync_runs().lock(installation, began).await? else {
        tracing::info!(%installation, "a newer sync run has finished; the findings of this one are dropped");
        return Ok(SyncResult { result: "incomplete", requests: listed.requests, ..SyncResult::default() });
    };
    self_registered.write(&mut tx).await?;
    let pass = SyncPass { seen: &listed.seen, complete: listed.complete, began, rules: parts.sync.rules };
    let (mut findings, ours) = compare(&mut tx, installation, &pass, &listed.unreadable).await?;
    let mut passed = SyncResult {
        result: match (listed.complete, &listed.error) {
            (true, _) => "ok",
            (false, None) => "incomplete",
            (false, Some(_)) => "failed",
        },
        listed: listed.seen.len(),
        missing: if listed.complete { findings.absences.len() } else { 0 },
        unlisted: findings.absences.len(),
        requests: listed.requests,
        ..SyncResult::default()
    };
    let orders = insert_checks(&mut tx, installation, &mut findings, &start, &mut passed).await?;
    write_runners(&mut tx, installation, &findings, listed, &mut passed, began).await?;
    if listed.complete {
        forgotten::suspect_calls(&mut tx, installation, &listed.seen, &ours).await?;
        let doubtful = tx.sync_runs().unresolved_names(installation).await?;
        let others = unmanaged(&listed.seen, &ours, &doubtful.into_iter().collect());
        tx.unmanaged_runners().replace(installation, &others).await?;
    }
    // The removal approval is used up: either everything was removed, or more removals were found than it covers.
    let done = listed.complete && orders.all_ordered;
    let approval_used = start.allowed.is_some() && (done || passed.held > 0);
    tx.sync_runs().end(installation, &SyncEnd { approval_used, ..sync_end(&passed, listed) }).await?;
    tx.commit().await?;
    let weight = |job: &Job| job.runner.and_then(|id| orders.weights.get(&id).copied()).unwrap_or(1.0);
    passed.sent = enqueue(parts, &orders.jobs, weight).await?;
    Ok(passed)
}

/// Compares all live rows, some thousand at a time. Returns the findings and the GitHub ids of our runners.
async fn compare(
    tx: &mut Tx,
    installation: &InstallationId,
    pass: &SyncPass<'_>,
    unreadable: &HashSet<i64>,
) -> Result<(SyncFindings, HashSet<i64>), StepError> {
    let (mut findings, mut ours, mut after) = (SyncFindings::default(), HashSet::new(), None);
    loop {
        let mut live = tx.runners().live(installation, after, ROWS_AT_ONCE).await?;
        let Some(last) = live.last else { return Ok((findings.by_urgency(), ours)) };
        after = Some(last);
        ours.extend(live.github_ids);
        live.runners.retain(|row| !unreadable.contains(&row.github_id));
        pass.compare(&live.runners, &mut findings);
    }
}

/// Writes status changes, counters and versions of the runners.
async fn write_runners(
    tx: &mut Tx,
    installation: &InstallationId,
    findings: &SyncFindings,
    listed: &Listed<'_>,
    passed: &mut SyncResult,
    began: DateTime<Utc>,
) -> Result<(), StepError> {
    passed.changed = tx.runners().change_statuses(&findings.changes, Source::Sync, began).await?;
    let absent = findings.absences.iter().map(|one| (one.suspect.runner, one.missed, one.unlisted));
    let counters: Vec<_> = absent.chain(findings.back.iter().map(|id| (*id, 0, 0))).collect();
    tx.runners().count_misses(&counters).await?;
    let (ids, versions): (Vec<i64>, Vec<String>) =
        listed.versions.iter().map(|(id, version)| (*id, (*version).to_owned())).unzip();
    tx.versions().record_reported(installation, &ids, &versions).await?;
    Ok(())
}

fn sync_end(passed: &SyncResult, listed: &Listed<'_>) -> SyncEnd {
    let inconsistent = || {
        let (seen, total) = (listed.seen.len(), listed.total);
        format!(
            "{seen} different runners were listed of {total}: the list changed while it was read; \
             runners that {MISSES_OF_ANY_KIND} runs did not list are checked one by one"
        )
    };
    let error = listed.error.clone().or_else(|| (!listed.complete).then(inconsistent));
    SyncEnd {
        result: passed.result,
        error: error.map(|text| text.chars().take(500).collect()),
        counts: json!({
            "listed": passed.listed,
            "changed": passed.changed,
            "missing": passed.missing,
            "unlisted": passed.unlisted,
            "held": passed.held,
            "requests": passed.requests,
        }),
        held: i32::try_from(passed.held).unwrap_or(i32::MAX),
        approval_used: false,
    }
}

/// Returns the listed runners that are not ours and whose name belongs to no unresolved call.
fn unmanaged<'s>(
    seen: &HashMap<i64, &'s SeenRunner>,
    ours: &HashSet<i64>,
    doubtful: &HashSet<String>,
) -> Vec<&'s SeenRunner> {
    let mut others: Vec<&SeenRunner> = seen
        .values()
        .copied()
        .filter(|runner| !ours.contains(&runner.github_id) && !doubtful.contains(&runner.name.to_lowercase()))
        .collect();
    others.sort_unstable_by_key(|runner| runner.github_id);
    others.truncate(MAX_UNMANAGED);
    others
}

/// Jobs that a run has ordered.
struct Orders {
    jobs: Vec<Job>,
    weights: HashMap<RunnerId, f64>,
    /// No check was left to a later run.
    all_ordered: bool,
}

/// Inserts a check for every suspect and a removal for every runner that the policy refused. If these would remove too
/// many runners, only checks that cannot remove are inserted.
async fn insert_checks(
    tx: &mut Tx,
    installation: &InstallationId,
    findings: &mut SyncFindings,
    start: &SyncStart,
    passed: &mut SyncResult,
) -> Result<Orders, StepError> {
    let hold = findings.is_too_much(start.allowed);
    if hold {
        (passed.held, passed.result) = (findings.removals(), hold_result(passed.result));
        if start.held == 0 || start.allowed.is_some() {
            raise_alarm(tx, installation, findings).await?;
        }
    }
    let may = |suspect: &Suspect| !hold || !suspect.may_remove;
    let due = findings.absences.iter().filter(|absence| absence.is_due()).count();
    let all_ordered =
        due <= MAX_ABSENCE_CHECKS && findings.suspects.len().max(findings.refused.len()) <= MAX_CHECKS;
    let removals: Vec<&Suspect> = findings.refused.iter().filter(|one| may(one)).take(MAX_CHECKS).collect();
    let mut checks: Vec<&Suspect> =
        findings.suspects.iter().filter(|one| may(one)).take(MAX_CHECKS).collect();
    let absences = findings.absences.iter_mut().filter(|one| one.is_due() && may(&one.suspect));
    for absence in absences.take(MAX_ABSENCE_CHECKS) {
        absence.record_check();
        checks.push(&absence.suspect);
    }
    let weights = removals.iter().chain(&checks).map(|one| (one.runner, one.weight)).collect();
    let of = |suspects: &[&Suspect], params: JobParams| -> Vec<NewJob> {
        suspects.iter().map(|suspect| suspect_job(installation, suspect, params.clone())).collect()
    };
    let mut jobs = tx.jobs().insert_new(&of(&removals, JobParams::Deprovision(Removal::Runner))).await?;
    jobs.extend(tx.jobs().insert_new(&of(&checks, JobParams::DriftCheck { source: Source::Sync })).await?);
    Ok(Orders { jobs, weights, all_ordered })
}

/// Returns the result of a held run; an incomplete run stays incomplete.
fn hold_result(result: &'static str) -> &'static str {
    if result == "ok" { "held" } else { result }
}

fn suspect_job(installation: &InstallationId, suspect: &Suspect, params: JobParams) -> NewJob {
    service_job(installation, Some(suspect.team), Some(suspect.runner), params)
}

/// Raises an alarm for an admin: GitHub, or a person with access to it, reports a large share of the runners as gone or
/// changed.
async fn raise_alarm(
    tx: &mut Tx,
    installation: &InstallationId,
    findings: &SyncFindings,
) -> Result<(), StepError> {
    tracing::error!(%installation, removals = findings.removals(), live = findings.live,
        "sync held: it would remove too many runners; an admin must approve the removals");
    let event = SecurityEvent {
        event_type: "sync_blast_radius",
        severity: Severity::Critical,
        action_taken: ActionTaken::Held.as_str(),
    };
    let entry = AuditEntry {
        data: json!({
            "installation": installation.as_str(),
            "removals": findings.removals(),
            "live": findings.live,
        }),
        ..AuditEntry::service("sync.held")
    };
    Ok(tx.audit().alarm(&event, &entry).await?)
}
