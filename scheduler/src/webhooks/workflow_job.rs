//! What a workflow job on one of our runners changes: its state, and what is held against the job.

use chrono::{DateTime, Utc};
use domain::{
    ActionTaken, AuditEntry, EventIgnored, InstallationId, PolicyViolation, Runner, SecurityEvent, Severity,
    Source, StatusChange, Team, WorkflowJob,
};
use runtime::config::LabelEnforcement;
use serde_json::json;
use store::{NewCancellation, StoreError, Tx};

use super::outcome::{Outcome, check_of};
use crate::Parts;

/// Looks at one event of one job.
pub(crate) async fn process(
    parts: &Parts,
    tx: &mut Tx,
    (installation, job, received): (&InstallationId, &WorkflowJob, DateTime<Utc>),
) -> Result<Outcome, StoreError> {
    if job.hosted {
        return Ok(Outcome::ignored("on a machine of GitHub's own"));
    }
    let (id, name) = (job.runner_id, job.runner_name.as_deref());
    let bound = tx.webhooks().lock_runner(installation, id, name).await?;
    let Some(bound) = bound else { return on_unknown_runner(parts, tx, (installation, job)).await };
    let Some(runner) = tx.runners().get(bound.runner).await? else {
        return Ok(Outcome::ignored("on no runner of ours"));
    };
    let Some(team) = tx.teams().policy(runner.team).await? else {
        return Ok(Outcome::ignored("on a runner without a team"));
    };
    let decision = match job.decide(&runner, &team, bound.seen.as_ref(), received) {
        Ok(decision) => decision,
        Err(EventIgnored::Older) => {
            report_late_violation(parts, tx, (&runner, &team, job)).await?;
            return Ok(Outcome::ignored("something newer is known"));
        }
        Err(EventIgnored::NotThere) => return Ok(Outcome::ignored("the runner has no config yet")),
    };
    tx.webhooks().record_workflow_job(runner.id, &decision.mark).await?;
    if decision.awaited {
        tx.sync_runs().request_soon(installation).await?;
    }
    let (moved, busy) = (decision.status != runner.status, decision.busy != runner.busy);
    if moved || busy {
        let change = StatusChange {
            runner: runner.id,
            from: Some(runner.status),
            to: decision.status,
            busy: decision.busy,
            detail: Some(format!("workflow job {}", job.id)),
        };
        tx.runners().change_status(&change, Source::Webhook).await?;
    }
    for violation in &decision.violations {
        report_violation(parts, tx, (&runner, job, violation), job.completed).await?;
    }
    // Whatever labels the job asked for: with these on its runner, jobs come that are not the team's.
    let foreign = tx.runners().foreign_labels(runner.id).await?;
    if !foreign.is_empty() && !decision.violations.iter().any(|one| matches!(one, PolicyViolation::Labels(_)))
    {
        report_violation(parts, tx, (&runner, job, &PolicyViolation::Labels(foreign)), job.completed).await?;
    }
    let check = decision.finished.then(|| check_of(&runner));
    Ok(Outcome { check, ..Outcome::processed(if job.completed { "completed" } else { "in progress" }) })
}

/// Looks at an event that found no live runner. If its runner is gone, nothing changes any more, but what only this event
/// can tell is told.
async fn on_unknown_runner(
    parts: &Parts,
    tx: &mut Tx,
    (installation, job): (&InstallationId, &WorkflowJob),
) -> Result<Outcome, StoreError> {
    let nobody = Outcome::ignored("on no runner of ours");
    let gone =
        tx.webhooks().lock_deleted_runner(installation, job.runner_id, job.runner_name.as_deref()).await?;
    let Some(gone) = gone else { return Ok(nobody) };
    let Some(runner) = tx.runners().get(gone).await? else { return Ok(nobody) };
    let Some(team) = tx.teams().policy(runner.team).await? else { return Ok(nobody) };
    report_late_violation(parts, tx, (&runner, &team, job)).await?;
    Ok(Outcome::ignored("the runner is gone"))
}

/// What came after something newer, or after its runner's end, was about a job that is over.
async fn report_late_violation(
    parts: &Parts,
    tx: &mut Tx,
    (runner, team, job): (&Runner, &Team, &WorkflowJob),
) -> Result<(), StoreError> {
    for violation in &job.violations(runner, team) {
        report_violation(parts, tx, (runner, job, violation), true).await?;
    }
    Ok(())
}

/// Writes down what a job does that it should not, once, and asks for its end if that is wanted and it is not over.
async fn report_violation(
    parts: &Parts,
    tx: &mut Tx,
    (runner, job, offence): (&Runner, &WorkflowJob, &PolicyViolation),
    over: bool,
) -> Result<(), StoreError> {
    let action_taken = match parts.enforcement {
        LabelEnforcement::Enforce if !over => ActionTaken::CancellationRequested,
        LabelEnforcement::Audit | LabelEnforcement::Enforce => ActionTaken::None,
    }
    .as_str();
    let event_type = offence.event_type();
    if tx.audit().was_reported(event_type, runner.id, job.id).await? {
        return Ok(());
    }
    let foreign = if let PolicyViolation::Labels(labels) = offence { Some(labels) } else { None };
    let entry = AuditEntry {
        runner: Some(runner.id),
        runner_name: Some(runner.name.clone()),
        team: Some(runner.team),
        data: json!({ "workflow_job_id": job.id, "run_id": job.run_id, "repository": job.repository,
            "workflow": job.workflow, "job": job.name, "job_labels": job.labels, "labels_not_given": foreign }),
        ..AuditEntry::default()
    };
    tracing::warn!(runner = %runner.id, team = %runner.team, event_type, action_taken, "a workflow job should not run here");
    let event = SecurityEvent { event_type, severity: Severity::High, action_taken };
    tx.audit().alarm(&event, &entry).await?;
    if parts.enforcement == LabelEnforcement::Audit || over {
        return Ok(());
    }
    let wanted = NewCancellation {
        installation: &runner.installation,
        repository: &job.repository,
        run: job.run_id,
        job: job.id,
        runner: runner.id,
        reason: event_type,
    };
    tx.cancellations().insert(&wanted).await
}
