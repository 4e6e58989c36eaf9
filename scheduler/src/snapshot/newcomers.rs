//! Runners that registered themselves: known from now on by GitHub's id, and their labels held against the policy, which
//! could not be bound for them beforehand.

use std::collections::HashMap;

use domain::{
    AuditEntry, InstallationId, Job, JobId, JobParams, LabelBreach, Removal, RunnerId, SecurityEvent,
    SeenRunner, Severity,
};
use runtime::config::LabelEnforcement;
use serde_json::json;
use store::{Awaited, NewJob, Tx};

use crate::{Parts, StepError};

/// Most of one pass; the others are found by the next.
const MOST: i64 = 1000;

/// Takes in whoever is awaited and listed. Answers the jobs that remove those whose labels break the policy.
pub(super) async fn take_in(
    parts: &Parts,
    tx: &mut Tx,
    installation: &InstallationId,
    seen: &HashMap<i64, SeenRunner>,
) -> Result<Vec<Job>, StepError> {
    let awaited = tx.newcomers().awaited(installation, MOST).await?;
    if awaited.is_empty() {
        return Ok(Vec::new());
    }
    let by_name: HashMap<&str, &SeenRunner> =
        seen.values().map(|runner| (runner.name.as_str(), runner)).collect();
    let enforce = parts.enforcement == LabelEnforcement::Enforce;
    let mut removals = Vec::new();
    for runner in &awaited {
        let Some(found) = by_name.get(runner.name.as_str()) else { continue };
        let breach = runner.policy.breach(&found.labels);
        // What breaks the policy stays a deviation until it is gone; anything else is what the runner is like from now on.
        let refused = breach.is_some() && enforce;
        let labels: Vec<String> = found.labels.iter().map(|label| label.name.clone()).collect();
        let kept = if refused { &runner.labels } else { &labels };
        if !tx.newcomers().take_in(runner.id, found.github_id, kept).await? {
            continue;
        }
        tx.audit().write(&entry(runner, found, "runner.registered")).await?;
        if let Some(breach) = breach {
            alarm(tx, (runner, found), &breach, enforce).await?;
        }
        if refused {
            removals.push(removal(installation, runner));
        }
    }
    // A removal somebody of the team asked for before could be withdrawn by them.
    let refused: Vec<RunnerId> = removals.iter().filter_map(|job| job.runner).collect();
    tx.jobs().take_over(&refused).await?;
    Ok(tx.jobs().insert_new(&removals).await?)
}

fn entry(runner: &Awaited, found: &SeenRunner, event_type: &'static str) -> AuditEntry {
    AuditEntry {
        runner: Some(runner.id),
        runner_name: Some(runner.name.clone()),
        team: Some(runner.team),
        data: json!({ "github_runner_id": found.github_id, "registered_itself": true }),
        ..AuditEntry::service(event_type)
    }
}

async fn alarm(
    tx: &mut Tx,
    (runner, found): (&Awaited, &SeenRunner),
    breach: &LabelBreach,
    enforce: bool,
) -> Result<(), StepError> {
    tracing::warn!(runner = %runner.id, github_runner_id = found.github_id, "a runner gave itself labels its team may not use");
    let event = SecurityEvent {
        event_type: "label_policy_violation",
        severity: Severity::High,
        action_taken: if enforce { "its removal was ordered" } else { "recorded" },
    };
    let told = AuditEntry {
        data: json!({
            "github_runner_id": found.github_id,
            "missing": breach.missing,
            "refused": breach.refused,
        }),
        ..entry(runner, found, "runner.registered")
    };
    Ok(tx.audit().alarm(&event, &told).await?)
}

fn removal(installation: &InstallationId, runner: &Awaited) -> NewJob {
    NewJob {
        id: JobId::new(),
        installation: installation.clone(),
        team: Some(runner.team),
        requester: None,
        runner: Some(runner.id),
        call: None,
        params: JobParams::Deprovision(Removal::Runner),
        trace: None,
    }
}
