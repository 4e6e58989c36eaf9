//! The words by which tests steer the twin; the control port speaks the same ones.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    faults::{ActiveFault, Fault},
    jobs::{Conclusion, ControlError, Job, refused},
    ledger::{Ledger, Summary},
    limits::Limits,
    pipeline::Shared,
    rate_limits::RateLimits,
    state::{Deprecation, NewRunner, NotMade, Runner, RunnerStatus, State},
    webhooks::Delivery,
};

/// A runner to make by hand; what is not said is as after `generate-jitconfig`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunnerSpec {
    /// Unique in its scope, without case.
    pub name: String,
    /// `orgs/<org>` or `repos/<owner>/<repo>`; the first organisation when not said.
    #[serde(default)]
    pub scope: Option<String>,
    /// Any labels.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Removed after one job.
    #[serde(default)]
    pub ephemeral: bool,
    /// The state to begin with.
    #[serde(flatten)]
    pub state: RunnerChange,
}

/// A change to a runner; what is not said stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RunnerChange {
    /// Connected or not. Going online for the first time also sets `os` and `version`.
    #[serde(default)]
    pub status: Option<RunnerStatus>,
    /// Running a job.
    #[serde(default)]
    pub busy: Option<bool>,
    /// All labels from now on, system ones included: drift.
    #[serde(default, rename = "set_labels")]
    pub labels: Option<Vec<String>>,
    /// Operating system.
    #[serde(default)]
    pub os: Option<String>,
    /// Of the runner program.
    #[serde(default)]
    pub version: Option<String>,
    /// The group it is in.
    #[serde(default)]
    pub runner_group_id: Option<u64>,
}

impl RunnerChange {
    /// Online and idle.
    pub fn online() -> Self {
        Self { status: Some(RunnerStatus::Online), busy: Some(false), ..Self::default() }
    }

    /// Online and running a job.
    pub fn busy() -> Self {
        Self { status: Some(RunnerStatus::Online), busy: Some(true), ..Self::default() }
    }

    /// Not connected.
    pub fn offline() -> Self {
        Self { status: Some(RunnerStatus::Offline), busy: Some(false), ..Self::default() }
    }

    /// Other labels.
    pub fn labels<S: Into<String>>(labels: impl IntoIterator<Item = S>) -> Self {
        Self { labels: Some(labels.into_iter().map(Into::into).collect()), ..Self::default() }
    }
}

/// The words of the control port, in process.
#[derive(Clone, Debug)]
pub struct Commands {
    shared: Arc<Shared>,
}

impl Commands {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// All runners of all scopes, by id.
    pub fn runners(&self) -> Vec<Runner> {
        self.shared.lock().runners.values().cloned().collect()
    }

    /// Makes a runner without any limit or token.
    ///
    /// # Errors
    /// [`ControlError::Refused`] when the name is taken or the scope is full.
    pub fn create_runner(&self, spec: RunnerSpec) -> Result<Runner, ControlError> {
        let mut state = self.shared.lock();
        let scope = spec.scope.unwrap_or_else(|| format!("orgs/{}", state.config.org)).to_lowercase();
        let new = NewRunner { name: spec.name, labels: spec.labels, group: 1, ephemeral: spec.ephemeral };
        let made = state.add_runner(&scope, new).map_err(|e| match e {
            NotMade::Duplicate => refused("the name is taken"),
            NotMade::Full => refused("the scope is full"),
        })?;
        change(&mut state, made.id, spec.state)
    }

    /// Changes a runner.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub fn set_runner(&self, id: u64, to: RunnerChange) -> Result<Runner, ControlError> {
        change(&mut self.shared.lock(), id, to)
    }

    /// Removes a runner, busy or not, as an administrator of the organisation might.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub fn remove_runner(&self, id: u64) -> Result<Runner, ControlError> {
        self.shared.lock().remove_runner(id).ok_or(ControlError::NotFound("runner"))
    }

    /// Puts a fault in force; `None` when 1,000 are in force already.
    pub fn fault(&self, fault: Fault) -> Option<u64> {
        self.shared.lock().faults.add(fault)
    }

    /// Faults in force.
    pub fn faults(&self) -> Vec<ActiveFault> {
        self.shared.lock().faults.list()
    }

    /// Ends one fault, or all.
    pub fn clear_faults(&self, id: Option<u64>) {
        self.shared.lock().faults.clear(id);
    }

    /// A copy of the ledger.
    pub fn ledger(&self) -> Ledger {
        self.shared.lock().ledger.clone()
    }

    /// The counters of the ledger.
    pub fn summary(&self) -> Summary {
        self.shared.lock().ledger.summary.clone()
    }

    /// Forgets what the ledger holds.
    pub fn clear_ledger(&self) {
        let mut state = self.shared.lock();
        state.ledger = Ledger::new(state.config.ledger_capacity);
    }

    /// Moves the clock forwards and returns what it says then.
    pub fn advance(&self, by: Duration) -> DateTime<Utc> {
        let mut state = self.shared.lock();
        state.clock.advance(by);
        state.settle();
        state.now()
    }

    /// What the clock says.
    pub fn now(&self) -> DateTime<Utc> {
        self.shared.lock().now()
    }

    /// Other limits, with all counters at zero.
    pub fn set_limits(&self, limits: Limits) {
        let mut state = self.shared.lock();
        state.meter = RateLimits::new(limits);
    }

    /// Suspends an installation, or ends that.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub fn suspend(&self, installation: u64, on: bool) -> Result<(), ControlError> {
        if self.shared.lock().suspend(installation, on) {
            Ok(())
        } else {
            Err(ControlError::NotFound("installation"))
        }
    }

    /// The permissions of every token minted so far, expired ones included.
    pub fn token_permissions(&self) -> Vec<BTreeMap<String, String>> {
        self.shared.lock().tokens.values().map(|token| token.permissions.clone()).collect()
    }

    /// Sets one permission of an installation and of the tokens it has: `None`, `read` or `write`.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub fn permit(
        &self,
        installation: u64,
        permission: &str,
        level: Option<&str>,
    ) -> Result<(), ControlError> {
        let mut state = self.shared.lock();
        let set = |map: &mut BTreeMap<String, String>| match level {
            Some(level) => drop(map.insert(permission.to_owned(), level.to_owned())),
            None => drop(map.remove(permission)),
        };
        let found = state.installations.iter_mut().find(|i| i.id == installation);
        set(&mut found.ok_or(ControlError::NotFound("installation"))?.permissions);
        state
            .tokens
            .values_mut()
            .filter(|t| t.installation == installation)
            .for_each(|t| set(&mut t.permissions));
        Ok(())
    }

    /// Ends the life of every token now.
    pub fn expire_tokens(&self) {
        self.shared.lock().expire_tokens(None);
    }

    /// Queues a workflow job; `repository` is `owner/name`. Sends `workflow_job` `queued`.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] when no installation covers the owner.
    pub fn queue_job(&self, repository: &str, labels: &[&str]) -> Result<Job, ControlError> {
        self.shared.lock().queue_job(repository, labels.iter().map(|l| (*l).to_owned()).collect())
    }

    /// Starts a queued job on an idle runner that has its labels. Sends `in_progress`.
    ///
    /// # Errors
    /// [`ControlError`] when either is not there or not ready.
    pub fn start_job(&self, job: u64, runner: u64) -> Result<Job, ControlError> {
        self.shared.lock().start_job(job, runner)
    }

    /// Ends a job and removes its ephemeral runner. Sends `completed`.
    ///
    /// # Errors
    /// [`ControlError`] when it is not there or over already.
    pub fn complete_job(&self, job: u64, conclusion: Conclusion) -> Result<Job, ControlError> {
        self.shared.lock().complete_job(job, conclusion)
    }

    /// All jobs.
    pub fn jobs(&self) -> Vec<Job> {
        self.shared.lock().jobs.values().cloned().collect()
    }

    /// Webhook deliveries, oldest first.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.shared.lock().deliveries.iter().cloned().collect()
    }

    /// Sends an event again under its guid.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub fn redeliver(&self, delivery: u64) -> Result<(), ControlError> {
        if self.shared.lock().redeliver(delivery) { Ok(()) } else { Err(ControlError::NotFound("delivery")) }
    }

    /// Says until when a version is taken; `None`: the call is not there, as where there is no Enterprise Cloud.
    pub fn deprecate(&self, version: &str, told: Option<Deprecation>) {
        self.shared.lock().deprecations.insert(version.to_owned(), told);
    }

    /// As at the start; only the clock goes on.
    pub fn reset(&self) {
        self.shared.lock().reset();
    }
}

fn change(state: &mut State, id: u64, to: RunnerChange) -> Result<Runner, ControlError> {
    let labels = to.labels.map(|names| {
        let mut labels = Vec::new();
        state.add_labels(&mut labels, &names);
        labels
    });
    let runner = state.runners.get_mut(&id).ok_or(ControlError::NotFound("runner"))?;
    if let Some(status) = to.status {
        runner.status = status;
        if status == RunnerStatus::Online && !runner.seen_online {
            runner.seen_online = true;
            runner.os = "linux".into();
            runner.version = Some("2.336.0".into());
        }
    }
    runner.busy = to.busy.unwrap_or(runner.busy);
    runner.os = to.os.unwrap_or_else(|| runner.os.clone());
    runner.version = to.version.or_else(|| runner.version.clone());
    runner.labels = labels.unwrap_or_else(|| runner.labels.clone());
    runner.runner_group_id = to.runner_group_id.unwrap_or(runner.runner_group_id);
    Ok(runner.clone())
}
