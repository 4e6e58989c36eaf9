//! Commands by which tests control the twin; the control port offers the same ones.

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

/// A runner to create directly; omitted fields are as after `generate-jitconfig`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunnerSpec {
    /// Name, unique in its scope without case.
    pub name: String,
    /// `orgs/<org>` or `repos/<owner>/<repo>`; `None` means the first organisation.
    #[serde(default)]
    pub scope: Option<String>,
    /// Labels.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Whether GitHub removes it after one job.
    #[serde(default)]
    pub ephemeral: bool,
    /// Initial state.
    #[serde(flatten)]
    pub state: RunnerChange,
}

/// A change to a runner; omitted fields stay.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RunnerChange {
    /// Connection state. Going online for the first time also sets `os` and `version`.
    #[serde(default)]
    pub status: Option<RunnerStatus>,
    /// Whether it runs a job.
    #[serde(default)]
    pub busy: Option<bool>,
    /// All labels, system ones included, to simulate drift.
    #[serde(default, rename = "set_labels")]
    pub labels: Option<Vec<String>>,
    /// Operating system.
    #[serde(default)]
    pub os: Option<String>,
    /// Version of the runner program.
    #[serde(default)]
    pub version: Option<String>,
    /// Id of its runner group.
    #[serde(default)]
    pub runner_group_id: Option<u64>,
}

impl RunnerChange {
    /// Returns a change to online and idle.
    pub fn online() -> Self {
        Self { status: Some(RunnerStatus::Online), busy: Some(false), ..Self::default() }
    }

    /// Returns a change to online and running a job.
    pub fn busy() -> Self {
        Self { status: Some(RunnerStatus::Online), busy: Some(true), ..Self::default() }
    }

    /// Returns a change to disconnected.
    pub fn offline() -> Self {
        Self { status: Some(RunnerStatus::Offline), busy: Some(false), ..Self::default() }
    }

    /// Returns a change of the labels.
    pub fn labels<S: Into<String>>(labels: impl IntoIterator<Item = S>) -> Self {
        Self { labels: Some(labels.into_iter().map(Into::into).collect()), ..Self::default() }
    }
}

/// Control commands, in process.
#[derive(Clone, Debug)]
pub struct Commands {
    shared: Arc<Shared>,
}

impl Commands {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Returns all runners of all scopes, by id.
    pub fn runners(&self) -> Vec<Runner> {
        self.shared.lock().runners.values().cloned().collect()
    }

    /// Creates a runner without any limit or token.
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

    /// Adds a fault and returns its id; `None` when 1,000 are active already.
    pub fn fault(&self, fault: Fault) -> Option<u64> {
        self.shared.lock().faults.add(fault)
    }

    /// Returns the active faults.
    pub fn faults(&self) -> Vec<ActiveFault> {
        self.shared.lock().faults.list()
    }

    /// Ends one fault, or all if `id` is `None`.
    pub fn clear_faults(&self, id: Option<u64>) {
        self.shared.lock().faults.clear(id);
    }

    /// Returns a copy of the ledger.
    pub fn ledger(&self) -> Ledger {
        self.shared.lock().ledger.clone()
    }

    /// Returns the counters of the ledger.
    pub fn summary(&self) -> Summary {
        self.shared.lock().ledger.summary.clone()
    }

    /// Removes all entries of the ledger.
    pub fn clear_ledger(&self) {
        let mut state = self.shared.lock();
        state.ledger = Ledger::new(state.config.ledger_capacity);
    }

    /// Moves the clock forwards and returns its new time.
    pub fn advance(&self, by: Duration) -> DateTime<Utc> {
        let mut state = self.shared.lock();
        state.clock.advance(by);
        state.settle();
        state.now()
    }

    /// Returns the time of the twin's clock.
    pub fn now(&self) -> DateTime<Utc> {
        self.shared.lock().now()
    }

    /// Replaces the limits and resets all counters.
    pub fn set_limits(&self, limits: Limits) {
        let mut state = self.shared.lock();
        state.meter = RateLimits::new(limits);
    }

    /// Suspends an installation, or resumes it.
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

    /// Returns the permissions of every token minted so far, expired ones included.
    pub fn token_permissions(&self) -> Vec<BTreeMap<String, String>> {
        self.shared.lock().tokens.values().map(|token| token.permissions.clone()).collect()
    }

    /// Sets one permission of an installation and of its tokens: `None`, `read` or `write`.
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

    /// Expires every token now.
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
    /// [`ControlError`] when the job or runner does not exist or is not ready.
    pub fn start_job(&self, job: u64, runner: u64) -> Result<Job, ControlError> {
        self.shared.lock().start_job(job, runner)
    }

    /// Ends a job and removes its ephemeral runner. Sends `completed`.
    ///
    /// # Errors
    /// [`ControlError`] when the job does not exist or has completed already.
    pub fn complete_job(&self, job: u64, conclusion: Conclusion) -> Result<Job, ControlError> {
        self.shared.lock().complete_job(job, conclusion)
    }

    /// Returns all jobs.
    pub fn jobs(&self) -> Vec<Job> {
        self.shared.lock().jobs.values().cloned().collect()
    }

    /// Returns the webhook deliveries, oldest first.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.shared.lock().deliveries.iter().cloned().collect()
    }

    /// Sends an event again with its original guid.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub fn redeliver(&self, delivery: u64) -> Result<(), ControlError> {
        if self.shared.lock().redeliver(delivery) { Ok(()) } else { Err(ControlError::NotFound("delivery")) }
    }

    /// Sets the deprecation dates of a version; `None` makes the call 404, as outside Enterprise Cloud.
    pub fn deprecate(&self, version: &str, told: Option<Deprecation>) {
        self.shared.lock().deprecations.insert(version.to_owned(), told);
    }

    /// Restores the initial state, except for the clock.
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
