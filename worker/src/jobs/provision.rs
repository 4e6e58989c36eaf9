//! Provision: one config delivered, whatever happens.
//!
//! `generate-jitconfig` registers a runner and answers once. So each try (a *generation*) is written down before it is
//! made, has a name of its own, and is never made twice; a try whose answer was lost is left behind for the reaper.

use chrono::TimeDelta;
use domain::{
    AuditEntry, BlockedOn, Call, CallId, CallState, Job, JobState, ProblemCode, RequestedName, Runner,
    RunnerName, Sealed, credential_context,
};
use github::{GitHub, GitHubError, JitConfig, JitConfigRequest, RetryAdvice};
use serde_json::json;
use store::{Counter, Intent, StoreError};

use super::{JobOutcome, JobResult, access_ended, after_error, no_credential, runner_lookup, unavailable};
use crate::app::App;

/// Tries of one start after which the job waits before the next.
const MAX_ATTEMPTS_PER_RUN: usize = 3;
/// Tries of one job after which it is given up.
const MAX_GENERATIONS: usize = 20;
/// How long GitHub gets to make up its mind about a name that may be ours.
const NAME_GRACE: TimeDelta = TimeDelta::seconds(10);

/// What one try led to.
enum AttemptResult {
    Done(JobOutcome),
    /// The answer was lost, or a name only we can have made is taken: the next generation, under a new name.
    Next,
}

/// Gets the config for the job's runner row.
pub(super) async fn run(app: &App, job: &Job, wish: &RequestedName, work_folder: &str) -> JobResult {
    let Some(github) = app.installations.get(&job.installation) else { return Ok(no_credential(job)) };
    if let Some(refused) = access_ended(app, job).await? {
        return Ok(refused);
    }
    let (Some(runner), mut calls) = read(app, job).await? else {
        return Ok(JobOutcome::failed(ProblemCode::InternalError, "The job has no runner."));
    };
    suspect_unanswered(app, &mut calls).await?;
    if let RequestedName::Exact(name) = wish
        && let Some(answer) = resolve_exact_name(app, github, job, (name, &calls)).await?
    {
        return Ok(answer);
    }
    let mut generation = calls.last().map_or(0, |call| call.generation);
    let mut name_of = unspent_name(&calls);
    for _ in 0..MAX_ATTEMPTS_PER_RUN {
        generation += 1;
        // Refused ones cost nothing: waiting for a limit is no try.
        if calls.iter().filter(|call| call.state != CallState::Refused).count() >= MAX_GENERATIONS {
            return Ok(JobOutcome::Final(JobState::Failed, Some(unavailable())));
        }
        let runner_name = wish.name(job.id, name_of.take().unwrap_or(generation));
        let intent = Intent { id: CallId::new(), generation, runner_name };
        let doubt = calls.iter().any(|call| call.state == CallState::EffectSuspected);
        let attempt = Attempt {
            runner: &runner,
            intent: &intent,
            work_folder,
            exact: wish.is_exact(),
            earlier_may_exist: doubt,
        };
        match attempt.make(app, github, job).await? {
            AttemptResult::Done(answer) => return Ok(answer),
            AttemptResult::Next if wish.is_exact() => return Ok(retry_after_grace()),
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

/// The generation whose name the next try uses: a try that GitHub refused made nothing, so its name is still unspent.
fn unspent_name(calls: &[Call]) -> Option<i16> {
    let refused = |call: &&Call| call.state == CallState::Refused;
    calls.iter().rev().take_while(refused).last().map(|call| call.generation)
}

/// An intent without an outcome is from a start that died: it may have been made.
async fn suspect_unanswered(app: &App, calls: &mut [Call]) -> Result<(), StoreError> {
    for call in calls.iter_mut().filter(|call| call.state == CallState::Intent) {
        app.store.conn().await?.github_calls().conclude(call.id, CallState::EffectSuspected, None).await?;
        call.state = CallState::EffectSuspected;
    }
    Ok(())
}

/// One try.
struct Attempt<'a> {
    runner: &'a Runner,
    intent: &'a Intent,
    work_folder: &'a str,
    /// The name is the caller's choice.
    exact: bool,
    /// An earlier try may have been made after all.
    earlier_may_exist: bool,
}

impl Attempt<'_> {
    async fn make(&self, app: &App, github: &GitHub, job: &Job) -> Result<AttemptResult, StoreError> {
        // Before anything is written down: a job that has to wait spends no generation and no name.
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
            Ok(config) => {
                deliver(app, job, (self.runner, self.intent), config).await.map(AttemptResult::Done)
            }
            Err(error) => self.failed(app, job, &error).await,
        }
    }

    async fn failed(&self, app: &App, job: &Job, error: &GitHubError) -> Result<AttemptResult, StoreError> {
        if was_not_tried(error) {
            app.store.conn().await?.github_calls().withdraw(self.intent.id).await?;
            return Ok(AttemptResult::Done(after_error(job, error)));
        }
        // In whatever words: nothing else about a new runner can be in conflict.
        let taken = matches!(error, GitHubError::Conflict { .. });
        let suspected = error.retry_advice() == RetryAdvice::Unclear || (taken && !self.exact);
        let state = if suspected { CallState::EffectSuspected } else { CallState::Refused };
        app.store.conn().await?.github_calls().conclude(self.intent.id, state, None).await?;
        let name = &self.intent.runner_name;
        if suspected {
            tracing::warn!(%name, %error, "the answer was lost; the name is left to the reaper");
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

/// GitHub did not see the request, or not as ours: the same try is made again later.
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

/// Commits what is about to be asked.
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

/// Records a config in one fenced transaction; when the fence has moved on, gives up what GitHub made.
async fn deliver(app: &App, job: &Job, (runner, intent): (&Runner, &Intent), config: JitConfig) -> JobResult {
    let context = credential_context(job.id, intent.runner_name.as_str());
    let github_id = config.runner.id;
    let sealed = match app.keys.seal(&context, &config.encoded) {
        Ok(sealed) => sealed,
        Err(error) => {
            tracing::error!(%error, "a config could not be sealed; its runner is given up");
            return discard(app, intent, github_id).await.map(|()| JobOutcome::retry(job, unavailable()));
        }
    };
    if store_config(app, job, (runner, intent), (&sealed, github_id)).await? {
        tracing::info!(
            github_runner_id = github_id,
            github_request_id = config.request_id.as_deref(),
            "config ready"
        );
        Ok(JobOutcome::Recorded)
    } else {
        discard(app, intent, github_id).await.map(|()| JobOutcome::Lost)
    }
}

async fn store_config(
    app: &App,
    job: &Job,
    (runner, intent): (&Runner, &Intent),
    (sealed, github_id): (&Sealed, i64),
) -> Result<bool, StoreError> {
    let mut tx = app.store.begin().await?;
    let ours = tx.jobs().finish(job, JobState::Succeeded, None).await?
        && tx.runners().register(runner.id, github_id).await?
        && tx.github_calls().conclude(intent.id, CallState::Delivered, Some(github_id)).await?;
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

/// The runner GitHub made is nobody's: the reaper removes it by its id.
async fn discard(app: &App, intent: &Intent, github_id: i64) -> Result<(), StoreError> {
    tracing::warn!(github_runner_id = github_id, name = %intent.runner_name, "a config came too late and is discarded");
    app.store
        .conn()
        .await?
        .github_calls()
        .conclude(intent.id, CallState::EffectSuspected, Some(github_id))
        .await
        .map(drop)
}

/// With a name the caller chose there is no next one: who bears it now is looked up first. None: nobody does.
///
/// The first try is only made when nobody bears the name; so a runner that bears it after a try without an answer, is
/// idle and belongs to no row of ours, is what that try left behind.
async fn resolve_exact_name(
    app: &App,
    github: &GitHub,
    job: &Job,
    (name, calls): (&RunnerName, &[Call]),
) -> Result<Option<JobOutcome>, StoreError> {
    let bearer = match github.find_runner(name.as_str()).await {
        Ok(bearer) => bearer,
        Err(error) => return Ok(Some(after_error(job, &error))),
    };
    let suspected = calls.iter().rev().find(|call| call.state == CallState::EffectSuspected);
    let (bearer, call) = match (bearer, suspected) {
        (None, Some(call)) if job.now - call.started_at < NAME_GRACE => return Ok(Some(retry_after_grace())),
        (None, _) => return Ok(None),
        (Some(_), None) => return Ok(Some(name_conflict(name))),
        (Some(bearer), Some(call)) => (bearer, call),
    };
    let bound = app.store.conn().await?.runners().by_github_id(&job.installation, bearer.id).await?;
    if bound.is_some() || bearer.busy || bearer.status != "offline" {
        return Ok(Some(name_conflict(name)));
    }
    match runner_lookup::remove(github, bearer.id).await {
        Ok(true) => {}
        Ok(false) => return Ok(Some(name_conflict(name))),
        Err(error) => return Ok(Some(after_error(job, &error))),
    }
    tracing::info!(github_runner_id = bearer.id, %name, "what a lost answer left behind is removed");
    app.store.conn().await?.github_calls().conclude(call.id, CallState::Settled, Some(bearer.id)).await?;
    Ok(Some(retry_after_grace()))
}

/// Waits until GitHub knows its own mind about a name.
fn retry_after_grace() -> JobOutcome {
    JobOutcome::Later {
        delay: NAME_GRACE,
        why: BlockedOn::Retry,
        count_as: Counter::Snooze,
        problem: unavailable(),
    }
}

pub(super) fn name_conflict(name: &RunnerName) -> JobOutcome {
    JobOutcome::failed(ProblemCode::RunnerNameConflict, format!("GitHub has a runner called {name} already."))
}
