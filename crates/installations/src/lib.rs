//! How the whole fleet stays within GitHub's limits: one client for each installation, and every request of every process
//! paid for from one shared budget.
//!
//! * Before a request: it asks the budget and is not sent when there is none left (`GitHubError::Held`). The dearest request
//!   of a job was paid for when the job was claimed ([`with_prepaid_call`]): it asks whether all still may, and nothing else.
//! * After it: what GitHub's headers say goes back into the budget, whatever the answer was, except from a 401, which GitHub
//!   counts elsewhere. A limit makes everybody wait before anything else is learned of the answer ([`pending_limits`]).
//! * Installation tokens are minted once and shared, sealed ([`tokens`]).
//! * Before the first answer, GitHub is asked once for its windows ([`Installations::fetch_rate_limits`]).

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
use queue::{BudgetSettings, Paused, Queue, QueueError, Reason, Scope};

use budget_gate::BudgetGate;
pub use prepaid::{ClaimedJob, with_prepaid_call, with_prepaid_call_of};
use tokens::SharedTokens;

/// How often the settings of a budget are looked for: a queue that was lost has forgotten them.
const REPUBLISH_INTERVAL: Duration = Duration::from_secs(10);

/// One installation this process has a credential for.
#[derive(Clone, Debug)]
pub struct Installation {
    /// Our name for it.
    pub id: InstallationId,
    /// Where and as whom to speak to its GitHub.
    pub github: GitHubSettings,
    /// What its GitHub allows.
    pub budget: BudgetSettings,
}

/// The clients of every installation this process speaks for. Cheap to clone.
#[derive(Clone, Default)]
pub struct Installations(Arc<HashMap<InstallationId, Client>>);

struct Client {
    github: GitHub,
    /// GitHub's id of the App's installation; none for a personal access token.
    github_id: Option<i64>,
    /// The App it belongs to; none for a personal access token.
    app: Option<App>,
    /// Whether its GitHub limits requests.
    limited: bool,
}

/// A GitHub App: ids are unique on one GitHub only.
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
    /// Makes the clients. `keys` seal the tokens that processes share; without them each has its own. They are keys the API
    /// does not have. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Settings that contradict themselves, or a key that cannot be used.
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
            let github = GitHub::metered(settings, gate.clone(), gate, tokens)?;
            clients.insert(id, Client { github, github_id, app, limited });
        }
        Ok(Self(Arc::new(clients)))
    }

    /// The client of an installation; none when this process has no credential for it.
    pub fn get(&self, installation: &InstallationId) -> Option<&GitHub> {
        self.0.get(installation).map(|member| &member.github)
    }

    /// Every installation with its client.
    pub fn iter(&self) -> impl Iterator<Item = (&InstallationId, &GitHub)> {
        self.0.iter().map(|(installation, member)| (installation, &member.github))
    }

    /// The installations of each App, by name. Those with a personal access token have none and are left out.
    pub fn apps(&self) -> Vec<Vec<&InstallationId>> {
        let mut apps: BTreeMap<&App, Vec<&InstallationId>> = BTreeMap::new();
        for (installation, member) in self.0.iter() {
            if let Some(app) = &member.app {
                apps.entry(app).or_default().push(installation);
            }
        }
        let mut apps: Vec<_> = apps.into_values().collect();
        for installations in &mut apps {
            installations.sort();
        }
        apps
    }

    /// GitHub's id of the App's installation.
    pub fn github_id(&self, installation: &InstallationId) -> Option<i64> {
        self.0.get(installation)?.github_id
    }
}

/// Keeps the budget's settings written for as long as the process lives.
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
            Err(error) => tracing::debug!(%installation, %error, "the budget's settings were not written"),
        }
        tokio::time::sleep(REPUBLISH_INTERVAL).await;
    }
}

/// Whether nothing may be asked of this installation's GitHub now.
///
/// # Errors
/// When the queue cannot be asked.
pub async fn is_paused(queue: &Queue, installation: &InstallationId) -> Result<bool, QueueError> {
    let wanted = Scope::Installation(installation.clone());
    Ok(queue.pauses().await?.iter().any(|paused| paused.scope == wanted))
}

/// Every installation of whose GitHub nothing may be asked now.
///
/// # Errors
/// When the queue cannot be asked.
pub async fn paused_installations(queue: &Queue) -> Result<Vec<InstallationId>, QueueError> {
    let of = |paused: Paused| match paused.scope {
        Scope::Installation(installation) => Some(installation),
        Scope::Lane(_) => None,
    };
    Ok(queue.pauses().await?.into_iter().filter_map(of).collect())
}

/// Whether GitHub told us to ask nothing now. Unlike [`is_paused`], a suspended installation does not count: the App
/// itself may still ask.
///
/// # Errors
/// When the queue cannot be asked.
pub async fn is_rate_limited(queue: &Queue, installation: &InstallationId) -> Result<bool, QueueError> {
    Ok(rate_limit_wait(queue, installation).await?.is_some())
}

/// How long GitHub still wants nothing to be asked; a person's pause does not count.
pub(crate) async fn rate_limit_wait(
    queue: &Queue,
    installation: &InstallationId,
) -> Result<Option<Duration>, QueueError> {
    let wanted = Scope::Installation(installation.clone());
    let holds = |one: &&Paused| one.scope == wanted && one.pause.reason != Reason::Admin;
    Ok(queue.pauses().await?.iter().filter(holds).map(|one| one.pause.left).max())
}
