//! Register: one registration token, with which a runner registers itself under the name that was asked for.
//!
//! A token makes nothing on GitHub and ends by itself within the hour. So a try whose answer was lost is simply made
//! again, and a token that comes too late is forgotten.

use chrono::TimeDelta;
use domain::{AuditEntry, Job, JobState, ProblemCode, Runner, RunnerName, Sealed, credential_context};
use github::{GitHub, GitHubError, RegistrationToken};
use serde_json::json;
use store::StoreError;

use super::{
    JobOutcome, JobResult, access_ended, after_error, no_credential, provision::name_conflict, unavailable,
};
use crate::app::App;

/// A token is offered no longer than this, whatever the clocks say: GitHub's live for an hour.
const MAX_TOKEN_LIFE: TimeDelta = TimeDelta::hours(1);

/// The group a runner lands in when it is told none.
const DEFAULT_GROUP: i64 = 1;

/// Gets the token for the job's runner row.
pub(super) async fn run(app: &App, job: &Job) -> JobResult {
    let Some(github) = app.installations.get(&job.installation) else { return Ok(no_credential(job)) };
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
    // Whoever bears the name already is not the runner that will register itself.
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
            tracing::warn!("GitHub gave us a registration token that has expired already");
            Ok(JobOutcome::outage(job))
        }
        Ok(token) => deliver(app, job, (&runner, &name), (&token, group.as_deref())).await,
        Err(error) => Ok(after_error(job, &error)),
    }
}

/// By what a runner is told its group: `config.sh` knows names only.
enum Group {
    Named(String),
    /// It need not be told: it is the default one, or there are none where it registers.
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

/// Records the token in one fenced transaction.
async fn deliver(
    app: &App,
    job: &Job,
    (runner, name): (&Runner, &RunnerName),
    (token, group): (&RegistrationToken, Option<&str>),
) -> JobResult {
    let sealed = match app.keys.seal(&credential_context(job.id, name.as_str()), &token.token) {
        Ok(sealed) => sealed,
        Err(error) => {
            tracing::error!(%error, "a token could not be sealed; it is forgotten");
            return Ok(JobOutcome::retry(job, unavailable()));
        }
    };
    let life = (token.expires_at - job.now).clamp(TimeDelta::minutes(1), MAX_TOKEN_LIFE);
    let kept = store_token(app, job, (runner, name, group), (&sealed, life)).await?;
    Ok(if kept { JobOutcome::Recorded } else { JobOutcome::Lost })
}

async fn store_token(
    app: &App,
    job: &Job,
    (runner, name, group): (&Runner, &RunnerName, Option<&str>),
    (sealed, life): (&Sealed, TimeDelta),
) -> Result<bool, StoreError> {
    let mut tx = app.store.begin().await?;
    let ours = tx.jobs().finish(job, JobState::Succeeded, None).await?
        && tx.runners().await_registration(runner.id, group).await?;
    if !ours {
        return Ok(false);
    }
    tx.credentials().insert(job.id, name, sealed, life).await?;
    let data = json!({ "life_s": life.num_seconds() });
    let entry = AuditEntry { data, ..AuditEntry::of_job(job, "token.issued") };
    tx.audit().write(&entry).await?;
    tx.commit().await?;
    Ok(true)
}
