//! One GitHub client for each installation, and what their answers say about waiting.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use domain::InstallationId;
use github::{Answer, GitHub, GitHubSettings, Observer, SettingsError};
use queue::{Reason, Spine};
use tokio::sync::mpsc;

/// Answers not yet looked at; further ones are dropped, since the next answer says the same again.
const BACKLOG: usize = 1024;

/// The clients of every installation this process speaks for.
#[derive(Clone)]
pub struct Fleet(Arc<HashMap<InstallationId, GitHub>>);

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Fleet {
    /// Makes the clients. What GitHub's headers say about an exhausted window becomes a pause for everybody.
    /// Must be called within a tokio runtime.
    pub fn new(
        spine: &Spine,
        installations: Vec<(InstallationId, GitHubSettings)>,
    ) -> Result<Self, SettingsError> {
        let mut clients = HashMap::new();
        for (installation, settings) in installations {
            let (windows, heard) = mpsc::channel(BACKLOG);
            tokio::spawn(obey(spine.clone(), installation.clone(), heard));
            clients.insert(installation, GitHub::new(settings, Arc::new(Ear { windows }))?);
        }
        Ok(Self(Arc::new(clients)))
    }

    /// The client of an installation; none when this process has no credential for it.
    pub fn get(&self, installation: &InstallationId) -> Option<&GitHub> {
        self.0.get(installation)
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

/// Makes every worker wait. When Redis is away nothing is claimed anyway.
pub(crate) async fn pause(spine: &Spine, installation: &InstallationId, wait: Duration, reason: Reason) {
    match spine.pause(installation, wait, reason).await {
        Ok(_) => {
            tracing::warn!(%installation, wait_s = wait.as_secs(), %reason, "GitHub told us to wait");
        }
        Err(error) => tracing::warn!(%installation, %error, "a pause could not be shared"),
    }
}
