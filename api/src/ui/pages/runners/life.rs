//! The life of a runner as one list: its audit rows, status changes, jobs and calls to GitHub.

use chrono::{DateTime, Utc};
use domain::{Caller, JobEventKind, JobId, ProblemCode};
use uuid::Uuid;

use crate::{
    app::AppState,
    error::{ApiError, ApiResult},
    routes::{
        audit::AuditView,
        jobs::history::{History, JobCallView, JobEventView},
        runners::view::{RunnerWithEvents, TransitionView},
    },
};

/// Most jobs whose history is read.
const MAX_JOBS: usize = 10;

/// One thing that happened to a runner.
pub(super) struct LifeEvent {
    pub(super) at: DateTime<Utc>,
    /// Place among what one transaction has written with one time.
    order: u8,
    /// What happened.
    pub(super) text: String,
    /// Who did it, from where, and other details.
    pub(super) detail: String,
    pub(super) is_bad: bool,
    pub(super) job: Option<Uuid>,
}

/// Returns everything that happened to a runner, oldest first.
pub(super) async fn of_runner(
    app: &AppState,
    caller: &Caller,
    shown: &RunnerWithEvents,
) -> ApiResult<Vec<LifeEvent>> {
    let mut life: Vec<LifeEvent> = shown.events.iter().map(of_audit_row).collect();
    life.extend(shown.transitions.iter().map(of_transition));
    let mut jobs: Vec<Uuid> = shown.events.iter().filter_map(|row| row.job_id).collect();
    jobs.sort_unstable();
    jobs.dedup();
    // The first job made the runner; the newest ones are asked about most.
    let old = jobs.len().saturating_sub(MAX_JOBS - 1);
    jobs.drain(1.min(jobs.len())..old.max(1).min(jobs.len()));
    for id in jobs {
        life.extend(of_job(app, caller, id).await?);
    }
    life.sort_by_key(|event| (event.at, event.order));
    Ok(life)
}

/// Returns the starts and calls of a job, nothing if it is no longer kept.
async fn of_job(app: &AppState, caller: &Caller, id: Uuid) -> ApiResult<Vec<LifeEvent>> {
    let job = match app.operations().visible_job(caller, JobId::from(id)).await.map_err(ApiError::from) {
        Ok(job) => job,
        Err(ApiError(problem)) if problem.code == ProblemCode::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let history = History::read(app, caller, &job).await?;
    // The audit row of the request says that it was accepted.
    let events = history.events.iter().filter(|event| event.what != JobEventKind::Accepted);
    let mut life: Vec<LifeEvent> = events.map(|event| of_job_event(event, id, job.kind.as_str())).collect();
    life.extend(history.calls.iter().map(|call| of_call(call, id)));
    Ok(life)
}

fn of_audit_row(row: &AuditView) -> LifeEvent {
    let what = words_of(&row.event_type);
    let mut details = vec![format!("by {}", row.user_identity.as_deref().unwrap_or("the service"))];
    details.extend(row.request_ip.as_ref().map(|ip| format!("from {ip}")));
    details.extend(row.request_id.as_ref().map(|id| format!("request {id}")));
    details.extend(row.error_message.clone());
    if row.occurrences > 1 {
        details.push(format!("{} times within a minute", row.occurrences));
    }
    LifeEvent {
        at: row.timestamp,
        order: 1,
        text: if row.success { what.to_owned() } else { format!("not done: {what}") },
        detail: details.join(" · "),
        is_bad: !row.success,
        job: row.job_id,
    }
}

/// Returns an event type in the words of a runner's life.
fn words_of(event_type: &str) -> &str {
    match event_type {
        "runner.provision" => "asked for",
        "runner.register" => "asked for, with a registration token",
        "token.issued" => "registration token issued",
        "runner.registered" => "registered on GitHub",
        "credential.fetch" => "config handed out",
        "credential.shred" => "config shredded",
        "runner.refresh" => "check on GitHub asked for",
        "runner.deprovision" => "removal asked for",
        "runner.deleted" => "removed",
        "runner.labels_repaired" => "labels restored on GitHub",
        "workflow.cancel" => "cancellation of its workflow run requested",
        "job.cancel" => "request cancelled",
        "job.retry" => "request sent again",
        "job.discard" => "failed request discarded",
        "job.failed" => "request failed",
        other => other,
    }
}

fn of_transition(change: &TransitionView) -> LifeEvent {
    let text = match &change.from_status {
        Some(before) => format!("{before} → {}", change.to_status),
        None => change.to_status.clone(),
    };
    let detail = change.detail.as_ref().map_or(String::new(), |detail| format!(" · {detail}"));
    LifeEvent {
        at: change.at,
        order: 2,
        text,
        detail: format!("seen by {}{detail}", change.source),
        is_bad: false,
        job: None,
    }
}

fn of_job_event(event: &JobEventView, job: Uuid, kind: &str) -> LifeEvent {
    let mut details = Vec::new();
    details.extend(event.worker.as_ref().map(|worker| format!("on {worker}")));
    details.extend(event.start.map(|start| format!("start {start}")));
    details.extend(event.detail.clone());
    details.extend(event.next_at.map(|at| format!("again from {}", at.format("%H:%M:%S UTC"))));
    let is_bad = matches!(event.what, JobEventKind::Failed | JobEventKind::Expired | JobEventKind::Rescued);
    LifeEvent {
        at: event.at,
        order: 3,
        text: format!("{kind} job {}", event.what),
        detail: details.join(" · "),
        is_bad,
        job: Some(job),
    }
}

fn of_call(call: &JobCallView, job: Uuid) -> LifeEvent {
    let text = match call.state.as_str() {
        "delivered" => "GitHub created it",
        "refused" => "GitHub refused it",
        "effect_suspected" => "GitHub's answer was lost",
        "intent" => "GitHub is being asked",
        _ => "the call to GitHub was settled",
    };
    let mut details = vec![format!("try {} as {}", call.generation, call.runner_name)];
    details.extend(call.app_installation.as_ref().map(|app| format!("by installation {app}")));
    if let Some(end) = call.finished_at {
        details.push(format!("after {} ms", (end - call.started_at).num_milliseconds().max(0)));
    }
    details.extend(call.github_runner_id.map(|id| format!("GitHub id {id}")));
    details.extend(call.github_request_id.as_ref().map(|id| format!("x-github-request-id {id}")));
    LifeEvent {
        at: call.finished_at.unwrap_or(call.started_at),
        order: 0,
        text: text.to_owned(),
        detail: details.join(" · "),
        is_bad: matches!(call.state.as_str(), "refused" | "effect_suspected"),
        job: Some(job),
    }
}
