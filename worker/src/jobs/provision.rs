//! Provision: one JIT config for one runner, in spite of lost responses, crashes and rate limits.
//!
//! `generate-jitconfig` registers a runner and returns its config only once. Each attempt (a *generation*) is therefore
//! written down before the call, has a name of its own and is never repeated. The reaper removes what an attempt with a
//! lost response left behind.

use domain::{
    AuditEntry, Call, CallId, CallState, Job, JobState, ProblemCode, RequestedName, Runner, SealError,
    Sealed, Secret, credential_context, sealed_config_context,
};
use github::{GitHubError, JitConfig, JitConfigRequest, RetryAdvice};
use installations::JobClient;
use serde_json::json;
use store::{Intent, StoreError};

use super::{
    JobOutcome, JobResult, access_ended, after_error,
    exact_name::{name_conflict, resolve_exact_name, retry_after_grace},
    unavailable,
};
use crate::app::App;

/// Attempts of one start, after which the job waits before the next start.
const MAX_ATTEMPTS_PER_RUN: usize = 3;
/// Attempts of one job, after which the job fails.
const MAX_GENERATIONS: usize = 20;

/// Result of one attempt.
enum AttemptResult {
    Done(JobOutcome),
    /// The response was lost, or the generated name is taken, which only an attempt of ours can cause. The next
    /// generation uses a new name.
    Next,
}

/// Gets the config for the runner of the job.
pub(super) async fn run(
    app: &App,
    client: &JobClient,
    job: &Job,
    requested: &RequestedName,
    work_folder: &str,
) -> JobResult {
    if let Some(refused) = access_ended(app, job).await? {
        return Ok(refused);
    }
    let (Some(runner), mut calls) = read(app, job).await? else {
        return Ok(JobOutcome::failed(ProblemCode::InternalError, "The job has no runner."));
    };
    suspect_unanswered(app, &mut calls).await?;
    if let RequestedName::Exact(name) = requested
        && let Some(answer) = resolve_exact_name(app, &client.github, job, name, &calls).await?
    {
        return Ok(answer);
    }
    let mut generation = calls.last().map_or(0, |call| call.generation);
    let mut name_of = unspent_name(&calls);
    for _ in 0..MAX_ATTEMPTS_PER_RUN {
        generation += 1;
        // Refused attempts do not count: waiting for a limit is not an attempt.
        if calls.iter().filter(|call| call.state != CallState::Refused).count() >= MAX_GENERATIONS {
            return Ok(JobOutcome::Final(JobState::Failed, Some(unavailable())));
        }
        let runner_name = requested.name(job.id, name_of.take().unwrap_or(generation));
        let intent = Intent { id: CallId::new(), app: client.app.clone(), generation, runner_name };
        let earlier_may_exist = calls.iter().any(|call| call.state == CallState::EffectSuspected);
        let attempt = Attempt {
            runner: &runner,
            intent: &intent,
            work_folder,
            exact: requested.is_exact(),
            earlier_may_exist,
        };
        match attempt.run(app, client, job).await? {
            AttemptResult::Done(answer) => return Ok(answer),
            AttemptResult::Next if requested.is_exact() => return Ok(retry_after_grace()),
            AttemptResult::Next => {}
        }
    }
    Ok(JobOutcome::outage(job))
}

async fn read(app: &App, job: &Job) -> Result<(Option<Runner>, Vec<Call>), StoreError> {
    let mut conn = app.store.conn().await?;
    let runner = match job.runner {
        Some(id) => conn.runners().get(id).await?,
        None => None,
    };
    let calls = if job.fence > 1 { conn.github_calls().of_job(job).await? } else { Vec::new() };
    Ok((runner, calls))
}

/// Returns the generation whose name is still unused. An attempt that GitHub refused made no runner, so its name is
/// used again.
fn unspent_name(calls: &[Call]) -> Option<i16> {
    let refused = |call: &&Call| call.state == CallState::Refused;
    calls.iter().rev().take_while(refused).last().map(|call| call.generation)
}

/// Marks intents without an outcome: the start that wrote them died, and the call may have been made.
async fn suspect_unanswered(app: &App, calls: &mut [Call]) -> Result<(), StoreError> {
    for call in calls.iter_mut().filter(|call| call.state == CallState::Intent) {
        app.store
            .conn()
            .await?
            .github_calls()
            .conclude(call.id, CallState::EffectSuspected, None, None)
            .await?;
        call.state = CallState::EffectSuspected;
    }
    Ok(())
}

/// One attempt to get a config.
struct Attempt<'a> {
    runner: &'a Runner,
    intent: &'a Intent,
    work_folder: &'a str,
    /// The caller chose the name.
    exact: bool,
    /// An earlier attempt may have made a runner.
    earlier_may_exist: bool,
}

impl Attempt<'_> {
    async fn run(&self, app: &App, client: &JobClient, job: &Job) -> Result<AttemptResult, StoreError> {
        let github = &client.github;
        // Before anything is written down: a job that has to wait uses up no generation and no name.
        let ready = match github.prepare_jit_config().await {
            Ok(ready) => ready,
            Err(error) => return Ok(AttemptResult::Done(after_error(job, &error))),
        };
        if !commit_intent(app, job, self.runner, self.intent).await? {
            return Ok(AttemptResult::Done(JobOutcome::Lost));
        }
        let request = JitConfigRequest {
            name: self.intent.runner_name.to_string(),
            runner_group_id: self.runner.runner_group_id,
            labels: self.runner.labels.clone(),
            work_folder: self.work_folder.to_owned(),
        };
        match github.create_jit_config_when_ready(ready, &request).await {
            Ok(config) => deliver(app, job, self.runner, self.intent, config).await.map(AttemptResult::Done),
            Err(error) => self.failed(app, job, &error).await,
        }
    }

    async fn failed(&self, app: &App, job: &Job, error: &GitHubError) -> Result<AttemptResult, StoreError> {
        if was_not_tried(error) {
            app.store.conn().await?.github_calls().withdraw(self.intent.id).await?;
            return Ok(AttemptResult::Done(after_error(job, error)));
        }
        // Any conflict means that the name is taken: nothing else about a new runner can conflict.
        let taken = matches!(error, GitHubError::Conflict { .. });
        let suspected = error.retry_advice() == RetryAdvice::Unclear || (taken && !self.exact);
        let state = if suspected { CallState::EffectSuspected } else { CallState::Refused };
        let mut conn = app.store.conn().await?;
        conn.github_calls().conclude(self.intent.id, state, None, error.request_id()).await?;
        drop(conn);
        let name = &self.intent.runner_name;
        if suspected {
            tracing::warn!(%name, %error, "GitHub's response was lost; the reaper will look for the name");
            let outage = matches!(error, GitHubError::Unclear { status: Some(_), .. });
            return Ok(if outage {
                AttemptResult::Done(JobOutcome::outage(job))
            } else {
                AttemptResult::Next
            });
        }
        match (taken, self.earlier_may_exist) {
            (true, true) => Ok(AttemptResult::Next),
            (true, false) => Ok(AttemptResult::Done(name_conflict(name))),
            (false, _) => Ok(AttemptResult::Done(after_error(job, error))),
        }
    }
}

/// Returns whether GitHub did not process the request. The same attempt can be made again later.
fn was_not_tried(error: &GitHubError) -> bool {
    matches!(
        error,
        GitHubError::NotSent { .. }
            | GitHubError::Held { .. }
            | GitHubError::TokenTooNew { .. }
            | GitHubError::Suspended { .. }
            | GitHubError::Credential { .. }
    )
}

/// Commits the intent of a call before the call is made. Returns false if another start has taken over.
async fn commit_intent(app: &App, job: &Job, runner: &Runner, intent: &Intent) -> Result<bool, StoreError> {
    let mut tx = app.store.begin().await?;
    if !tx.github_calls().record_intent(job, intent).await? {
        return Ok(false);
    }
    if runner.name != intent.runner_name.as_str() {
        tx.runners().rename(runner.id, &intent.runner_name).await?;
    }
    tx.commit().await?;
    Ok(true)
}

/// A runner that GitHub made.
#[derive(Clone, Copy, Debug)]
struct Made<'a> {
    /// GitHub's id of the runner.
    github_id: i64,
    /// GitHub's id of the request.
    request_id: Option<&'a str>,
}

/// Records a config in one fenced transaction. If the fence has moved on, discards the runner that GitHub made.
async fn deliver(app: &App, job: &Job, runner: &Runner, intent: &Intent, config: JitConfig) -> JobResult {
    let request_id = config.request_id.as_deref();
    let made = Made { github_id: config.runner.id, request_id };
    let sealed = match seal(app, job, runner, intent, &config.encoded) {
        Ok(sealed) => sealed,
        Err(error) => {
            tracing::error!(%error, "a config could not be sealed; its runner is discarded");
            return discard(app, intent, made).await.map(|()| JobOutcome::retry(job, unavailable()));
        }
    };
    if store_config(app, job, runner, intent, &sealed, made).await? {
        tracing::info!(github_runner_id = made.github_id, github_request_id = request_id, "config ready");
        Ok(JobOutcome::Recorded)
    } else {
        discard(app, intent, made).await.map(|()| JobOutcome::Lost)
    }
}

/// Seals a config to the requester's key if the request has one, and otherwise to the service's.
fn seal(
    app: &App,
    job: &Job,
    runner: &Runner,
    intent: &Intent,
    config: &Secret,
) -> Result<Sealed, SealError> {
    let name = intent.runner_name.as_str();
    match job.params.sealing_key() {
        Some(key) => key.seal(&sealed_config_context(job.id, runner.id, name), config),
        None => app.keys.seal(&credential_context(job.id, name), config),
    }
}

async fn store_config(
    app: &App,
    job: &Job,
    runner: &Runner,
    intent: &Intent,
    sealed: &Sealed,
    made: Made<'_>,
) -> Result<bool, StoreError> {
    let Made { github_id, request_id } = made;
    let mut tx = app.store.begin().await?;
    let ours = tx.jobs().finish(job, JobState::Succeeded, None).await?
        && tx.runners().register(runner.id, github_id, &intent.app).await?
        && tx.github_calls().conclude(intent.id, CallState::Delivered, Some(github_id), request_id).await?;
    if !ours {
        return Ok(false);
    }
    tx.credentials().insert(job.id, &intent.runner_name, sealed, app.config_life).await?;
    let entry = AuditEntry {
        runner_name: Some(intent.runner_name.to_string()),
        data: json!({ "github_runner_id": github_id, "generation": intent.generation }),
        ..AuditEntry::of_job(job, "runner.registered")
    };
    tx.audit().write(&entry).await?;
    tx.commit().await?;
    Ok(true)
}

/// Leaves a runner without a row to the reaper, which removes it by its GitHub id.
async fn discard(app: &App, intent: &Intent, made: Made<'_>) -> Result<(), StoreError> {
    let Made { github_id, request_id } = made;
    tracing::warn!(github_runner_id = github_id, name = %intent.runner_name, "a config arrived too late; its runner is discarded");
    app.store
        .conn()
        .await?
        .github_calls()
        .conclude(intent.id, CallState::EffectSuspected, Some(github_id), request_id)
        .await
        .map(drop)
}
