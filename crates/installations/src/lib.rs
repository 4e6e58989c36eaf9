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
mod pool;
mod prepaid;
mod rate_limits;
mod settings;
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
use queue::{BudgetSettings, Paused, Queue, QueueError, Scope};

use budget_gate::BudgetGate;
pub use pool::JobClient;
pub use prepaid::ClaimedJob;
use tokens::SharedTokens;

/// One installation this process has a credential for.
#[derive(Clone, Debug)]
pub struct Installation {
    /// Our name for it.
    pub id: InstallationId,
    /// The App pool whose further App it is; `None` if it is alone or the first of its pool.
    pub pool: Option<InstallationId>,
    /// Address, scope and credential of its GitHub.
    pub github: GitHubSettings,
    /// Limits of its GitHub.
    pub budget: BudgetSettings,
}

/// The clients of all installations with a credential in this process. Cheap to clone.
#[derive(Clone, Default)]
pub struct Installations(Arc<Clients>);

#[derive(Default)]
struct Clients {
    by_id: HashMap<InstallationId, Client>,
    /// The installations of each pool, in the order of the settings. One that is alone is a pool of one.
    pools: BTreeMap<InstallationId, Vec<InstallationId>>,
}

struct Client {
    /// Its pool.
    pool: InstallationId,
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
        f.debug_set().entries(self.0.by_id.keys()).finish()
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
        let mut clients = Clients::default();
        settings::keep_published(queue, &installations);
        for Installation { id, pool, github: settings, budget } in installations {
            let github_id = match &settings.credential {
                Credential::App { installation_id, .. } => i64::try_from(*installation_id).ok(),
                Credential::Pat(_) => None,
            };
            let app = App::of(&settings);
            let gate = Arc::new(BudgetGate::start(queue, &id, &budget));
            let tokens = Arc::new(SharedTokens::new(queue, keys, &id));
            let limited = budget.enabled;
            let github = GitHub::metered(settings, gate.clone(), gate.clone(), tokens)?;
            let pool = pool.unwrap_or_else(|| id.clone());
            clients.pools.entry(pool.clone()).or_default().push(id.clone());
            clients.by_id.insert(id, Client { pool, github, gate, github_id, app, limited });
        }
        Ok(Self(Arc::new(clients)))
    }

    /// Returns the client of an installation; `None` if this process has no credential for it.
    pub fn get(&self, installation: &InstallationId) -> Option<&GitHub> {
        self.0.by_id.get(installation).map(|client| &client.github)
    }

    /// Returns the installations of each App, by name. Installations with a personal access token are left out.
    pub fn apps(&self) -> Vec<Vec<&InstallationId>> {
        let mut apps: BTreeMap<&App, Vec<&InstallationId>> = BTreeMap::new();
        for (installation, client) in &self.0.by_id {
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
        self.0.by_id.get(installation)?.github_id
    }
}

/// Whether GitHub limits the installation. A suspended installation does not count, because the App itself may still
/// send requests.
///
/// # Errors
/// [`QueueError`] if Redis cannot be reached.
pub async fn is_rate_limited(queue: &Queue, installation: &InstallationId) -> Result<bool, QueueError> {
    Ok(rate_limit_wait(queue, installation).await?.is_some())
}

/// Returns the rest of the longest pause that stops every request; pauses by administrators do not.
pub(crate) async fn rate_limit_wait(
    queue: &Queue,
    installation: &InstallationId,
) -> Result<Option<Duration>, QueueError> {
    let wanted = Scope::Installation(installation.clone());
    let holds = |paused: &&Paused| paused.scope == wanted && paused.pause.reason.stops_requests();
    Ok(queue.pauses().await?.iter().filter(holds).map(|paused| paused.pause.left).max())
}
