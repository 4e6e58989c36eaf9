//! Register: one registration token, with which a runner registers itself under the requested name.
//!
//! A token creates nothing on GitHub and expires within an hour. An attempt whose response was lost is therefore
//! repeated, and a token that arrives too late is dropped.

use chrono::TimeDelta;
use domain::{AuditEntry, Job, JobState, ProblemCode, Runner, RunnerName, Sealed, credential_context};
use github::{GitHub, GitHubError, RegistrationToken};
use serde_json::json;
use store::StoreError;

use super::{JobOutcome, JobResult, access_ended, after_error, exact_name::name_conflict, unavailable};
use crate::app::App;

/// Longest time a token is offered, independent of clocks: GitHub's tokens are valid for an hour.
const MAX_TOKEN_LIFE: TimeDelta = TimeDelta::hours(1);

/// Id of the group that a runner joins if `config.sh` gets no group.
const DEFAULT_GROUP: i64 = 1;

/// Gets the token for the job's runner row.
pub(super) async fn run(app: &App, github: &GitHub, job: &Job) -> JobResult {
    if let Some(refused) = access_ended(app, job).await? {
        return Ok(refused);
    }
    let runner = match job.runner {
        Some(id) => app.store.conn().await?.runners().get(id).await?,
        None => None,
    };
    let named = |runner: Runner| Some((runner.name.parse::<RunnerName>().ok()?, runner));
    let Some((name, runner)) = runner.and_then(named) else {
        return Ok(JobOutcome::failed(ProblemCode::InternalError, "The job has no runner."));
    };
    // A runner that already has the name is not the one that will register itself.
    match github.find_runner(name.as_str()).await {
        Ok(None) => {}
        Ok(Some(_)) => return Ok(name_conflict(&name)),
        Err(error) => return Ok(after_error(job, &error)),
    }
    let group = match group(github, runner.runner_group_id).await {
        Ok(Group::Named(group)) => Some(group),
        Ok(Group::Nameless) => None,
        Ok(Group::Unknown) => {
            let detail = format!("GitHub has no runner group {}.", runner.runner_group_id);
            return Ok(JobOutcome::failed(ProblemCode::GithubRefused, detail));
        }
        Err(error) => return Ok(after_error(job, &error)),
    };
    match github.create_registration_token().await {
        Ok(token) if token.expires_at <= github.now() => {
            tracing::warn!("GitHub returned a registration token that has already expired");
            Ok(JobOutcome::outage(job))
        }
        Ok(token) => {
            let registration = NewRegistration { runner: &runner, name: &name, group: group.as_deref() };
            deliver(app, job, &registration, &token).await
        }
        Err(error) => Ok(after_error(job, &error)),
    }
}

/// Runner group as `config.sh` gets it: by name only.
enum Group {
    Named(String),
    /// No name is needed: it is the default group, or there are no groups at this level.
    Nameless,
    Unknown,
}

async fn group(github: &GitHub, id: i64) -> Result<Group, GitHubError> {
    if id == DEFAULT_GROUP {
        return Ok(Group::Nameless);
    }
    let groups = github.list_runner_groups().await?;
    if groups.is_empty() {
        return Ok(Group::Nameless);
    }
    let named = groups.into_iter().find(|group| group.id == id);
    Ok(named.map_or(Group::Unknown, |group| Group::Named(group.name)))
}

/// Runner row that awaits a registration, with its parsed name and the name of its group.
struct NewRegistration<'r> {
    runner: &'r Runner,
    name: &'r RunnerName,
    group: Option<&'r str>,
}

/// Records the token in one fenced transaction.
async fn deliver(
    app: &App,
    job: &Job,
    registration: &NewRegistration<'_>,
    token: &RegistrationToken,
) -> JobResult {
    let sealed = match app.keys.seal(&credential_context(job.id, registration.name.as_str()), &token.token) {
        Ok(sealed) => sealed,
        Err(error) => {
            tracing::error!(%error, "a token could not be sealed; it is dropped");
            return Ok(JobOutcome::retry(job, unavailable()));
        }
    };
    let life = (token.expires_at - job.now).clamp(TimeDelta::minutes(1), MAX_TOKEN_LIFE);
    let kept = store_token(app, job, registration, &sealed, life).await?;
    Ok(if kept { JobOutcome::Recorded } else { JobOutcome::Lost })
}

async fn store_token(
    app: &App,
    job: &Job,
    registration: &NewRegistration<'_>,
    sealed: &Sealed,
    life: TimeDelta,
) -> Result<bool, StoreError> {
    let mut tx = app.store.begin().await?;
    let ours = tx.jobs().finish(job, JobState::Succeeded, None).await?
        && tx.runners().await_registration(registration.runner.id, registration.group).await?;
    if !ours {
        return Ok(false);
    }
    tx.credentials().insert(job.id, registration.name, sealed, life).await?;
    let data = json!({ "life_s": life.num_seconds() });
    let entry = AuditEntry { data, ..AuditEntry::of_job(job, "token.issued") };
    tx.audit().write(&entry).await?;
    tx.commit().await?;
    Ok(true)
}
