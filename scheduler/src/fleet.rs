//! GitHub, once for each installation. What its answers say about waiting becomes a pause for everybody.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use domain::InstallationId;
use github::{Answer, Credential, GitHub, GitHubError, GitHubSettings, LimitKind, Observer, SettingsError};
use queue::{Paused, QueueError, Reason, Scope, Spine};
use tokio::sync::mpsc;

/// Answers not yet looked at; further ones are dropped, since the next answer says the same again.
const BACKLOG: usize = 64;

/// The clients of every installation this process speaks for.
#[derive(Clone, Default)]
pub struct Fleet(Arc<HashMap<InstallationId, Member>>);

struct Member {
    github: GitHub,
    /// GitHub's id of the App's installation; none for a personal access token.
    github_id: Option<i64>,
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Fleet {
    /// Makes the clients. Must be called within a tokio runtime.
    pub fn new(
        spine: &Spine,
        installations: Vec<(InstallationId, GitHubSettings)>,
    ) -> Result<Self, SettingsError> {
        let mut members = HashMap::new();
        for (installation, settings) in installations {
            let github_id = match &settings.credential {
                Credential::App { installation_id, .. } => i64::try_from(*installation_id).ok(),
                Credential::Pat(_) => None,
            };
            let (windows, heard) = mpsc::channel(BACKLOG);
            tokio::spawn(obey(spine.clone(), installation.clone(), heard));
            let github = GitHub::new(settings, Arc::new(Ear { windows }))?;
            members.insert(installation, Member { github, github_id });
        }
        Ok(Self(Arc::new(members)))
    }

    /// The client of an installation; none when this process has no credential for it.
    pub fn get(&self, installation: &InstallationId) -> Option<&GitHub> {
        self.0.get(installation).map(|member| &member.github)
    }

    /// Every installation with its client.
    pub fn iter(&self) -> impl Iterator<Item = (&InstallationId, &GitHub)> {
        self.0.iter().map(|(installation, member)| (installation, &member.github))
    }

    /// GitHub's id of the App's installation.
    pub(crate) fn github_id(&self, installation: &InstallationId) -> Option<i64> {
        self.0.get(installation)?.github_id
    }

    /// The installation GitHub knows by this id. Events of organisations' own hooks name none: then it is ours, if there
    /// is but one.
    pub(crate) fn named(&self, github_id: Option<i64>) -> Option<&InstallationId> {
        match github_id {
            Some(id) => self.0.iter().find(|(_, member)| member.github_id == Some(id)).map(|(name, _)| name),
            None => self.0.keys().next().filter(|_| self.0.len() == 1),
        }
    }
}

/// Hears every answer and passes on how long an exhausted window stays so.
struct Ear {
    windows: mpsc::Sender<Duration>,
}

impl Observer for Ear {
    fn answered(&self, answer: &Answer) {
        let (Some(rate), Some(date)) = (&answer.rate, answer.server_date) else { return };
        if rate.remaining == 0
            && let Ok(left) = (rate.reset_at - date).to_std()
        {
            // Full: somebody passes the same on already.
            let _ = self.windows.try_send(left);
        }
    }
}

async fn obey(spine: Spine, installation: InstallationId, mut heard: mpsc::Receiver<Duration>) {
    while let Some(left) = heard.recv().await {
        pause(&spine, &installation, left, Reason::Budget).await;
    }
}

async fn pause(spine: &Spine, installation: &InstallationId, wait: Duration, reason: Reason) {
    match spine.pause(installation, wait, reason).await {
        Ok(_) => tracing::warn!(%installation, wait_s = wait.as_secs(), %reason, "GitHub told us to wait"),
        Err(error) => tracing::warn!(%installation, %error, "a pause could not be shared"),
    }
}

/// Whether nothing may be asked of this installation's GitHub now.
///
/// # Errors
/// When the queue cannot be asked.
pub(crate) async fn resting(spine: &Spine, installation: &InstallationId) -> Result<bool, QueueError> {
    let wanted = Scope::Installation(installation.clone());
    Ok(spine.pauses().await?.iter().any(|paused| paused.scope == wanted))
}

/// Whether GitHub told us to ask nothing now. Unlike [`resting`], a suspended installation does not count: the App
/// itself may still ask.
///
/// # Errors
/// When the queue cannot be asked.
pub(crate) async fn limited(spine: &Spine, installation: &InstallationId) -> Result<bool, QueueError> {
    let wanted = Scope::Installation(installation.clone());
    let holds = |paused: &Paused| paused.scope == wanted && paused.pause.reason != Reason::Admin;
    Ok(spine.pauses().await?.iter().any(holds))
}

/// Passes a limit GitHub named on to everybody. True: it was one.
pub(crate) async fn heed(spine: &Spine, installation: &InstallationId, error: &GitHubError) -> bool {
    let GitHubError::Limited { kind, wait } = error else { return false };
    let reason = match kind {
        LimitKind::Primary => Reason::Budget,
        LimitKind::Secondary => Reason::SecondaryLimit,
    };
    pause(spine, installation, *wait, reason).await;
    true
}
