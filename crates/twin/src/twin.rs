//! The running twin and the words by which tests steer it.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    config::TwinConfig,
    control,
    faults::{ActiveFault, Fault},
    gate::{self, Shared},
    jobs::{Conclusion, ControlError, Job, refused},
    keys::AppKey,
    ledger::{Ledger, Summary},
    limits::Limits,
    serve,
    state::{NewRunner, NotMade, Runner, RunnerStatus, State},
    webhooks::{self, Delivery, MAX_WAITING, Outgoing},
};

/// A fake GitHub in this process. Dropping it closes its ports and every connection.
#[derive(Debug)]
pub struct Twin {
    shared: Arc<Shared>,
    url: Arc<str>,
    control: Option<SocketAddr>,
    key: Option<AppKey>,
    outbox: mpsc::Sender<Outgoing>,
    stop: DropGuard,
}

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

impl Twin {
    /// Opens the ports and serves.
    ///
    /// # Errors
    /// A port that cannot be opened; `InvalidInput` for a public key or base path that cannot be used.
    pub async fn start(mut config: TwinConfig) -> io::Result<Self> {
        config.base_path = config.base_path.trim_end_matches('/').to_owned();
        if !config.base_path.is_empty() && !config.base_path.starts_with('/') {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the base path must begin with /"));
        }
        let (public_pem, key) = app_key(&config)?;
        let (api, address) = serve::bind(config.listen).await?;
        let control = match config.control_listen {
            Some(listen) => Some(serve::bind(listen).await?),
            None => None,
        };
        let url: Arc<str> = format!("http://{address}{}", config.base_path).into();
        let (outbox, inbox) = mpsc::channel(MAX_WAITING);
        let (base_path, webhook): (Arc<str>, _) = (config.base_path.as_str().into(), config.webhook.clone());
        let state = State::new(Arc::new(config), public_pem.into(), url.clone(), outbox.clone());
        let shared = Arc::new(Shared::new(state));
        let stop = CancellationToken::new();
        let router = Router::new().fallback(gate::enter).with_state((shared.clone(), base_path));
        serve::run(api, router, stop.clone());
        let sender = webhooks::deliver(Arc::downgrade(&shared), inbox, webhook);
        tokio::spawn(stop.clone().run_until_cancelled_owned(sender));
        let control = control.map(|(listener, address)| {
            serve::run(listener, control::router(Commands { shared: shared.clone() }), stop.clone());
            address
        });
        Ok(Self { shared, url, control, key, outbox, stop: stop.drop_guard() })
    }

    /// Root of the API, base path included, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Root of the control port, if there is one.
    pub fn control_url(&self) -> Option<String> {
        self.control.map(|address| format!("http://{address}"))
    }

    /// The App's key pair, unless the config brought a public key of its own.
    pub fn app_key(&self) -> Option<&AppKey> {
        self.key.as_ref()
    }

    /// Everything the control port can do.
    pub fn control(&self) -> Commands {
        Commands { shared: self.shared.clone() }
    }

    /// All runners of all scopes, by id.
    pub fn runners(&self) -> Vec<Runner> {
        self.control().runners()
    }

    /// The runner with this name in any scope.
    pub fn runner(&self, name: &str) -> Option<Runner> {
        self.runners().into_iter().find(|r| r.name.eq_ignore_ascii_case(name))
    }

    /// See [`Commands::create_runner`].
    pub fn create_runner(&self, spec: RunnerSpec) -> Result<Runner, ControlError> {
        self.control().create_runner(spec)
    }

    /// See [`Commands::set_runner`].
    pub fn set_runner(&self, id: u64, change: RunnerChange) -> Result<Runner, ControlError> {
        self.control().set_runner(id, change)
    }

    /// See [`Commands::remove_runner`].
    pub fn remove_runner(&self, id: u64) -> Result<Runner, ControlError> {
        self.control().remove_runner(id)
    }

    /// Puts a fault in force and returns its id; 0 when 1,000 are in force already.
    pub fn fault(&self, fault: Fault) -> u64 {
        self.control().fault(fault).unwrap_or(0)
    }

    /// Ends one fault.
    pub fn clear_fault(&self, id: u64) {
        self.control().clear_faults(Some(id));
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.control().clear_faults(None);
    }

    /// A copy of the ledger.
    pub fn ledger(&self) -> Ledger {
        self.control().ledger()
    }

    /// The counters of the ledger.
    pub fn summary(&self) -> Summary {
        self.control().summary()
    }

    /// Moves the twin's clock forwards: windows end, tokens expire, late effects happen. App JWTs are still
    /// checked against the machine's clock, and the `date` header tells the twin's.
    pub fn advance(&self, by: Duration) {
        self.control().advance(by);
    }

    /// Waits until every webhook emitted so far has been sent or given up.
    pub async fn webhooks_sent(&self) {
        let (done, wait) = oneshot::channel();
        if self.outbox.send(Outgoing::Flush(done)).await.is_ok() {
            drop(wait.await);
        }
    }

    /// Closes the ports and every connection, as dropping does.
    pub fn shutdown(self) {
        drop(self.stop);
    }
}

fn app_key(config: &TwinConfig) -> io::Result<(String, Option<AppKey>)> {
    let Some(pem) = &config.app_public_key_pem else {
        let key = AppKey::shared().map_err(io::Error::other)?;
        return Ok((key.public_pem().to_owned(), Some(key)));
    };
    let read = jsonwebtoken::DecodingKey::from_rsa_pem(pem.as_bytes());
    read.map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
    Ok((pem.clone(), None))
}

/// The words of the control port, in process.
#[derive(Clone, Debug)]
pub struct Commands {
    shared: Arc<Shared>,
}

impl Commands {
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
    pub fn advance(&self, by: Duration) -> chrono::DateTime<chrono::Utc> {
        let mut state = self.shared.lock();
        state.clock.advance(by);
        state.settle();
        state.now()
    }

    /// What the clock says.
    pub fn now(&self) -> chrono::DateTime<chrono::Utc> {
        self.shared.lock().now()
    }

    /// Other limits, with all counters at zero.
    pub fn set_limits(&self, limits: Limits) {
        let mut state = self.shared.lock();
        state.meter = crate::limits::Meter::new(limits);
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
        let set = |map: &mut std::collections::BTreeMap<String, String>| match level {
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
    Ok(runner.clone())
}
