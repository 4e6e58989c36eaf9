//! Writing down what a pass found: a few statements, however large the fleet.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use domain::{
    AuditEntry, Findings, InstallationId, Job, JobId, JobParams, LiveRunner, Pass, Removal, RunnerId,
    SecurityEvent, SeenRunner, Severity, Source, Suspect,
};
use serde_json::json;
use store::{NewJob, PassEnd, PassStart, Tx};

use super::{Listed, newcomers};
use crate::{Parts, StepError, send::forward};

/// Most rows compared.
const MOST_ROWS: i64 = 100_000;
/// Most runners one pass sends jobs after; the others are found again by the next.
const MOST_SUSPECTS: usize = 2000;
/// Most runners remembered that are not ours.
const MOST_UNMANAGED: usize = 20_000;

/// What one pass came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// `ok`, `held`, `incomplete`, `paused` or `failed`.
    pub result: &'static str,
    /// Runners listed.
    pub listed: usize,
    /// Rows changed.
    pub changed: usize,
    /// Live rows a complete pass did not list.
    pub missing: usize,
    /// Jobs sent.
    pub sent: u64,
    /// Jobs not sent because they might remove too much at once.
    pub held: usize,
    /// Requests made.
    pub requests: u32,
}

/// Compares the rows with what was listed, writes the differences, and sends jobs after what is suspect.
pub(super) async fn apply(
    parts: &Parts,
    installation: &InstallationId,
    (listed, began): (&Listed, DateTime<Utc>),
) -> Result<Passed, StepError> {
    let mut tx = parts.store.begin().await?;
    let Some(start) = tx.fleet().lock(installation, began).await? else {
        tracing::info!(%installation, "a newer pass has been here; this one's findings are dropped");
        return Ok(Passed { result: "incomplete", requests: listed.requests, ..Passed::default() });
    };
    newcomers::take_in(parts, &mut tx, installation, &listed.seen).await?;
    let (ids, versions): (Vec<i64>, Vec<String>) = listed.versions.clone().into_iter().unzip();
    tx.versions().seen(installation, (&ids, &versions)).await?;
    let rows = tx.fleet().live(installation, MOST_ROWS).await?;
    let pass = Pass { seen: &listed.seen, complete: listed.complete, began, rules: parts.watch.rules };
    let findings = pass.compare(&rows);
    let mut passed = Passed {
        result: match (listed.complete, &listed.error) {
            (true, _) => "ok",
            (false, None) => "incomplete",
            (false, Some(_)) => "failed",
        },
        listed: listed.seen.len(),
        missing: findings.missing.len(),
        requests: listed.requests,
        ..Passed::default()
    };
    passed.changed = tx.fleet().shift(&findings.shifts, Source::Sync, began).await?;
    if !findings.missing.is_empty() || !findings.back.is_empty() {
        tx.fleet().count_misses(&findings.missing, &findings.back).await?;
    }
    if listed.complete {
        let doubtful = tx.fleet().names_in_doubt(installation).await?;
        let others = unmanaged(&listed.seen, &rows, &doubtful.into_iter().collect());
        tx.fleet().replace_unmanaged(installation, &others).await?;
    }
    let jobs = send(&mut tx, installation, (&findings, &start), &mut passed).await?;
    // What it was given for is done, or it is not enough: either way the next needs a new one.
    let done = listed.complete && findings.suspects.len() <= MOST_SUSPECTS;
    let word_used = start.allowed.is_some() && (done || passed.held > 0);
    tx.fleet().end(installation, &PassEnd { word_used, ..end(&passed, listed) }).await?;
    tx.commit().await?;
    let weights: HashMap<RunnerId, f64> = rows.iter().map(|row| (row.id, row.weight)).collect();
    let weight = |job: &Job| job.runner.and_then(|id| weights.get(&id).copied()).unwrap_or(1.0);
    passed.sent = forward(parts, &jobs, weight).await?;
    Ok(passed)
}

fn end(passed: &Passed, listed: &Listed) -> PassEnd {
    let inconsistent = || {
        let (seen, total) = (listed.seen.len(), listed.total);
        format!("{seen} different runners were listed of {total}; nothing was concluded from absence")
    };
    let error = listed.error.clone().or_else(|| (!listed.complete).then(inconsistent));
    PassEnd {
        result: passed.result,
        error: error.map(|text| text.chars().take(500).collect()),
        counts: json!({
            "listed": passed.listed,
            "changed": passed.changed,
            "missing": passed.missing,
            "held": passed.held,
            "requests": passed.requests,
        }),
        held: i32::try_from(passed.held).unwrap_or(i32::MAX),
        word_used: false,
    }
}

/// What is neither ours nor perhaps ours.
fn unmanaged<'s>(
    seen: &'s HashMap<i64, SeenRunner>,
    rows: &[LiveRunner],
    doubtful: &HashSet<String>,
) -> Vec<&'s SeenRunner> {
    let ours: HashSet<i64> = rows.iter().map(|row| row.github_id).collect();
    let mut others: Vec<&SeenRunner> = seen
        .values()
        .filter(|runner| !ours.contains(&runner.github_id) && !doubtful.contains(&runner.name.to_lowercase()))
        .collect();
    others.sort_unstable_by_key(|runner| runner.github_id);
    others.truncate(MOST_UNMANAGED);
    others
}

/// Commits a check for every suspect, and the removal of what the policy refused; when they are too many at once, only what
/// cannot cost a runner.
async fn send(
    tx: &mut Tx,
    installation: &InstallationId,
    (findings, start): (&Findings, &PassStart),
    passed: &mut Passed,
) -> Result<Vec<Job>, StepError> {
    let hold = findings.is_too_much(start.allowed);
    if hold {
        (passed.held, passed.result) = (findings.removals(), hold_result(passed.result));
        if start.held == 0 || start.allowed.is_some() {
            alarm(tx, installation, findings).await?;
        }
    }
    let order = |suspects: &[Suspect], params: JobParams| -> Vec<NewJob> {
        let may = suspects.iter().filter(|suspect| !hold || !suspect.may_remove).take(MOST_SUSPECTS);
        may.map(|suspect| job(installation, suspect, params.clone())).collect()
    };
    let removals = order(&findings.refused, JobParams::Deprovision(Removal::Runner));
    let checks = order(&findings.suspects, JobParams::DriftCheck { source: Source::Sync });
    let mut jobs = tx.jobs().insert_new(&removals).await?;
    jobs.extend(tx.jobs().insert_new(&checks).await?);
    Ok(jobs)
}

/// A pass that is not complete stays so.
fn hold_result(result: &'static str) -> &'static str {
    if result == "ok" { "held" } else { result }
}

fn job(installation: &InstallationId, suspect: &Suspect, params: JobParams) -> NewJob {
    NewJob {
        id: JobId::new(),
        installation: installation.clone(),
        team: Some(suspect.team),
        requester: None,
        runner: Some(suspect.runner),
        call: None,
        params,
        trace: None,
    }
}

/// Somebody must look: GitHub, or whoever changes it, says that much of the fleet is gone or changed.
async fn alarm(tx: &mut Tx, installation: &InstallationId, findings: &Findings) -> Result<(), StepError> {
    tracing::error!(%installation, removals = findings.removals(), live = findings.live,
        "a pass would remove too much; it waits for an admin");
    let event = SecurityEvent {
        event_type: "sync_blast_radius",
        severity: Severity::Critical,
        action_taken: "held until an admin confirms",
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
