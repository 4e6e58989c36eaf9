//! Processing of workflow job events on our runners: state changes of the runner and violations of its team's policy.

use chrono::{DateTime, Utc};
use domain::{
    ActionTaken, AuditEntry, EventIgnored, InstallationId, PolicyViolation, Runner, SecurityEvent, Severity,
    Source, StatusChange, Team, WorkflowJob,
};
use runtime::config::LabelEnforcement;
use serde_json::json;
use store::{NewCancellation, StoreError, Tx};

use super::outcome::{Outcome, runner_check};
use crate::Parts;

/// Event of a workflow job, as one installation has delivered it.
pub(crate) struct JobEvent<'e> {
    pub(crate) installation: &'e InstallationId,
    pub(crate) job: &'e WorkflowJob,
    pub(crate) received_at: DateTime<Utc>,
}

/// Processes one event of one workflow job.
pub(crate) async fn process(parts: &Parts, tx: &mut Tx, event: &JobEvent<'_>) -> Result<Outcome, StoreError> {
    let JobEvent { installation, job, received_at } = *event;
    if job.hosted {
        return Ok(Outcome::ignored("on a machine of GitHub's own"));
    }
    let (id, name) = (job.runner_id, job.runner_name.as_deref());
    let bound = tx.webhooks().lock_runner(installation, id, name).await?;
    let Some(bound) = bound else { return on_unknown_runner(parts, tx, event).await };
    let Some(runner) = tx.runners().get(bound.runner).await? else {
        return Ok(Outcome::ignored("on no runner of ours"));
    };
    let Some(team) = tx.teams().policy_on(runner.team, &job.labels).await? else {
        return Ok(Outcome::ignored("on a runner without a team"));
    };
    let decision = match job.decide(&runner, &team, bound.seen.as_ref(), received_at) {
        Ok(decision) => decision,
        Err(EventIgnored::Older) => {
            report_late_violation(parts, tx, &runner, &team, job).await?;
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
        report_violation(parts, tx, &runner, job, violation, job.completed).await?;
    }
    // Even if this job did not ask for them: a runner with foreign labels attracts jobs of other teams.
    let foreign = tx.runners().foreign_labels(runner.id).await?;
    if !foreign.is_empty() && !decision.violations.iter().any(|one| matches!(one, PolicyViolation::Labels(_)))
    {
        report_violation(parts, tx, &runner, job, &PolicyViolation::Labels(foreign), job.completed).await?;
    }
    let check = decision.finished.then(|| runner_check(&runner));
    Ok(Outcome { check, ..Outcome::processed(if job.completed { "completed" } else { "in progress" }) })
}

/// Processes an event without a live runner. If its runner is deleted, no state changes, but a violation is still
/// reported.
async fn on_unknown_runner(parts: &Parts, tx: &mut Tx, event: &JobEvent<'_>) -> Result<Outcome, StoreError> {
    let JobEvent { installation, job, .. } = *event;
    let unknown = Outcome::ignored("on no runner of ours");
    let gone =
        tx.webhooks().lock_deleted_runner(installation, job.runner_id, job.runner_name.as_deref()).await?;
    let Some(gone) = gone else { return Ok(unknown) };
    let Some(runner) = tx.runners().get(gone).await? else { return Ok(unknown) };
    let Some(team) = tx.teams().policy_on(runner.team, &job.labels).await? else { return Ok(unknown) };
    report_late_violation(parts, tx, &runner, &team, job).await?;
    Ok(Outcome::ignored("the runner is gone"))
}

/// Reports violations of a late event, which arrived after a newer one or after its runner's end. Its job is treated as
/// over.
async fn report_late_violation(
    parts: &Parts,
    tx: &mut Tx,
    runner: &Runner,
    team: &Team,
    job: &WorkflowJob,
) -> Result<(), StoreError> {
    for violation in &job.violations(runner, team) {
        report_violation(parts, tx, runner, job, violation, true).await?;
    }
    Ok(())
}

/// Reports a violation once, and requests the cancellation of the workflow run if policies are enforced and the job is
/// not over.
async fn report_violation(
    parts: &Parts,
    tx: &mut Tx,
    runner: &Runner,
    job: &WorkflowJob,
    violation: &PolicyViolation,
    over: bool,
) -> Result<(), StoreError> {
    let action_taken = match parts.enforcement {
        LabelEnforcement::Enforce if !over => ActionTaken::CancellationRequested,
        LabelEnforcement::Audit | LabelEnforcement::Enforce => ActionTaken::None,
    }
    .as_str();
    let event_type = violation.event_type();
    if tx.audit().was_reported(event_type, runner.id, job.id).await? {
        return Ok(());
    }
    let foreign = if let PolicyViolation::Labels(labels) = violation { Some(labels) } else { None };
    let entry = AuditEntry {
        runner: Some(runner.id),
        runner_name: Some(runner.name.clone()),
        team: Some(runner.team),
        data: json!({ "workflow_job_id": job.id, "run_id": job.run_id, "repository": job.repository,
            "workflow": job.workflow, "job": job.name, "job_labels": job.labels, "labels_not_given": foreign }),
        ..AuditEntry::default()
    };
    tracing::warn!(runner = %runner.id, team = %runner.team, event_type, action_taken, "a workflow job violates its runner's policy");
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
