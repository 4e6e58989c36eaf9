//! Clients of all GitHub App installations, and the budget that all processes share to stay within GitHub's limits.
//!
//! * Before a request, the gate asks the budget and holds the request if none is left (`GitHubError::Held`). A job's
//!   most expensive request was paid for by its claim: the gate of its client ([`Installations::client_for_job`]) checks
//!   only pauses and probes for it.
//! * After a request, GitHub's headers update the budget. Responses with 401 are excluded, because GitHub counts them
//!   elsewhere. A rate limit pauses all workers before any other update of the response (`pending_limits.rs`).
//! * Installation tokens are minted once and shared, sealed (`tokens.rs`).
//! * Before the first response, one process asks GitHub for its windows ([`Installations::fetch_rate_limits`]).

mod budget_gate;
mod endpoints;
mod pending_limits;
mod prepaid;
mod rate_limits;
mod tokens;
mod webhook_routing;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
    time::Duration,
};

use domain::{InstallationId, KeyRing};
use github::{Credential, GitHub, GitHubSettings, SettingsError};
use queue::{BudgetSettings, Paused, PrepaidRequest, Queue, QueueError, Reason, Scope};

use budget_gate::BudgetGate;
pub use prepaid::ClaimedJob;
use prepaid::{JobGate, PrepaidCall};
use tokens::SharedTokens;

/// Interval at which the settings of a budget are checked: a Redis that lost its data has none.
const REPUBLISH_INTERVAL: Duration = Duration::from_secs(10);

/// One installation this process has a credential for.
#[derive(Clone, Debug)]
pub struct Installation {
    /// Our name for it.
    pub id: InstallationId,
    /// Address, scope and credential of its GitHub.
    pub github: GitHubSettings,
    /// Limits of its GitHub.
    pub budget: BudgetSettings,
}

/// The clients of all installations with a credential in this process. Cheap to clone.
#[derive(Clone, Default)]
pub struct Installations(Arc<HashMap<InstallationId, Client>>);

struct Client {
    github: GitHub,
    /// Gate of `github`.
    gate: Arc<BudgetGate>,
    /// GitHub's id of the App's installation; `None` for a personal access token.
    github_id: Option<i64>,
    /// The App it belongs to; `None` for a personal access token.
    app: Option<App>,
    /// Whether its GitHub limits requests.
    limited: bool,
}

/// Identity of a GitHub App. Ids are unique on one GitHub only.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct App {
    api_url: String,
    id: String,
}

impl App {
    fn of(settings: &GitHubSettings) -> Option<Self> {
        match &settings.credential {
            Credential::App { app_id, .. } => {
                Some(Self { api_url: settings.api_url.to_string(), id: app_id.clone() })
            }
            Credential::Pat(_) => None,
        }
    }
}

impl fmt::Debug for Installations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Installations {
    /// Returns the clients. `keys` seal the tokens that processes share; the API does not have these keys. Without them
    /// each process mints its own tokens. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`SettingsError`] if settings contradict themselves, or a key cannot be used.
    pub fn new<'k>(
        queue: &Queue,
        keys: impl Into<Option<&'k KeyRing>>,
        installations: Vec<Installation>,
    ) -> Result<Self, SettingsError> {
        let keys = keys.into();
        let mut clients = HashMap::new();
        for Installation { id, github: settings, budget } in installations {
            let github_id = match &settings.credential {
                Credential::App { installation_id, .. } => i64::try_from(*installation_id).ok(),
                Credential::Pat(_) => None,
            };
            let app = App::of(&settings);
            let gate = Arc::new(BudgetGate::start(queue, &id, &budget));
            let tokens = Arc::new(SharedTokens::new(queue, keys, &id));
            let limited = budget.enabled;
            tokio::spawn(republish_settings(queue.clone(), id.clone(), budget));
            let github = GitHub::metered(settings, gate.clone(), gate.clone(), tokens)?;
            clients.insert(id, Client { github, gate, github_id, app, limited });
        }
        Ok(Self(Arc::new(clients)))
    }

    /// Returns the client of an installation; `None` if this process has no credential for it.
    pub fn get(&self, installation: &InstallationId) -> Option<&GitHub> {
        self.0.get(installation).map(|client| &client.github)
    }

    /// Returns the client of a claimed job, whose first request to the endpoint of its lane was paid for by the claim.
    /// `prepaid` records whether that request was sent. Returns `None` if this process has no credential for the
    /// installation.
    pub fn client_for_job(
        &self,
        installation: &InstallationId,
        job: ClaimedJob,
        prepaid: PrepaidRequest,
    ) -> Option<GitHub> {
        let client = self.0.get(installation)?;
        let gate = JobGate::new(client.gate.clone(), PrepaidCall::new(job, prepaid));
        Some(client.github.with_gate(Arc::new(gate)))
    }

    /// Returns all installations with their clients.
    pub fn iter(&self) -> impl Iterator<Item = (&InstallationId, &GitHub)> {
        self.0.iter().map(|(installation, client)| (installation, &client.github))
    }

    /// Returns the installations of each App, by name. Installations with a personal access token are left out.
    pub fn apps(&self) -> Vec<Vec<&InstallationId>> {
        let mut apps: BTreeMap<&App, Vec<&InstallationId>> = BTreeMap::new();
        for (installation, client) in self.0.iter() {
            if let Some(app) = &client.app {
                apps.entry(app).or_default().push(installation);
            }
        }
        let mut apps: Vec<_> = apps.into_values().collect();
        for installations in &mut apps {
            installations.sort();
        }
        apps
    }

    /// Returns GitHub's id of the App's installation.
    pub fn github_id(&self, installation: &InstallationId) -> Option<i64> {
        self.0.get(installation)?.github_id
    }
}

/// Writes the settings of the budget again while the process lives, if Redis lost them.
async fn republish_settings(queue: Queue, installation: InstallationId, budget: BudgetSettings) {
    let mut written = false;
    loop {
        let result = if written {
            queue.restore_budget(&installation, &budget).await
        } else {
            queue.set_budget(&installation, &budget).await
        };
        match result {
            Ok(()) => written = true,
            Err(error) => {
                tracing::debug!(%installation, %error, "Settings of the budget could not be written");
            }
        }
        tokio::time::sleep(REPUBLISH_INTERVAL).await;
    }
}

/// Whether the installation is paused: no request may be sent to its GitHub.
///
/// # Errors
/// [`QueueError`] if Redis cannot be reached.
pub async fn is_paused(queue: &Queue, installation: &InstallationId) -> Result<bool, QueueError> {
    let wanted = Scope::Installation(installation.clone());
    Ok(queue.pauses().await?.iter().any(|paused| paused.scope == wanted))
}

/// Returns all paused installations.
///
/// # Errors
/// [`QueueError`] if Redis cannot be reached.
pub async fn paused_installations(queue: &Queue) -> Result<Vec<InstallationId>, QueueError> {
    let of = |paused: Paused| match paused.scope {
        Scope::Installation(installation) => Some(installation),
        Scope::Lane(_) => None,
    };
    Ok(queue.pauses().await?.into_iter().filter_map(of).collect())
}

/// Whether GitHub limits the installation. Unlike for [`is_paused`], a suspended installation does not count, because
/// the App itself may still send requests.
///
/// # Errors
/// [`QueueError`] if Redis cannot be reached.
pub async fn is_rate_limited(queue: &Queue, installation: &InstallationId) -> Result<bool, QueueError> {
    Ok(rate_limit_wait(queue, installation).await?.is_some())
}

/// Returns the rest of the longest pause that GitHub caused; administrators' pauses do not count.
pub(crate) async fn rate_limit_wait(
    queue: &Queue,
    installation: &InstallationId,
) -> Result<Option<Duration>, QueueError> {
    let wanted = Scope::Installation(installation.clone());
    let holds = |paused: &&Paused| paused.scope == wanted && paused.pause.reason != Reason::Admin;
    Ok(queue.pauses().await?.iter().filter(holds).map(|paused| paused.pause.left).max())
}
