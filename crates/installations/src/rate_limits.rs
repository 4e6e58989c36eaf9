//! What is left of GitHub's windows, asked for before the first answer tells it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::InstallationId;
use github::{GitHub, GitHubError, RateHeaders};
use queue::{Observation, Queue, QueueError};

use crate::{Installations, REPUBLISH_INTERVAL};

/// The windows the service uses.
const RESOURCES: [&str; 2] = ["core", "actions_runner_registration"];
/// Whoever asks has this long before another may: longer than a request takes.
const LOCK_TTL: Duration = Duration::from_secs(30);
/// How often and how far apart the others look whether it has the answer.
const MAX_LOOKUPS: u32 = 40;
const LOOKUP_INTERVAL: Duration = Duration::from_millis(50);
/// What was learned is as good as the answers that came since, for this long.
const RESULT_TTL: Duration = Duration::from_hours(1);

impl Installations {
    /// Asks every GitHub that limits requests for what is left of its windows, unless a process of this deployment has done
    /// so already. However many processes start at once, one asks. Answers how many installations it asked for; what
    /// fails is logged, and the first answer of a job tells the same.
    pub async fn fetch_rate_limits(&self, queue: &Queue) -> usize {
        let all = self.0.iter().filter(|(_, member)| member.limited);
        let asked = all.map(|(installation, member)| async move {
            match fetch_for(queue, installation, &member.github).await {
                Ok(asked) => usize::from(asked),
                // Told to wait: whoever waits learns the same from the first answer after it.
                Err(RateLimitError::GitHub(GitHubError::Held { .. })) => 0,
                Err(error) => {
                    tracing::warn!(%installation, %error, "GitHub's windows could not be asked for");
                    0
                }
            }
        });
        futures::future::join_all(asked).await.into_iter().sum()
    }

    /// The same again and again, for the windows a lost queue has forgotten. Never ends.
    pub async fn refresh_rate_limits(self, queue: Queue) {
        loop {
            self.fetch_rate_limits(&queue).await;
            tokio::time::sleep(REPUBLISH_INTERVAL).await;
        }
    }
}

/// Why nothing was learned.
#[derive(Debug, thiserror::Error)]
enum RateLimitError {
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    GitHub(#[from] GitHubError),
}

async fn fetch_for(
    queue: &Queue,
    installation: &InstallationId,
    github: &GitHub,
) -> Result<bool, RateLimitError> {
    let mark = format!("primed:{installation}");
    if queue.shared_get(&mark).await?.is_some() {
        return Ok(false);
    }
    if queue.shared_lock(&mark, LOCK_TTL).await?.is_none() {
        // Whoever asks is told for all; a failure there is nobody's reason to wait for long.
        for _ in 0..MAX_LOOKUPS {
            tokio::time::sleep(LOOKUP_INTERVAL).await;
            if queue.shared_get(&mark).await?.is_some() {
                break;
            }
        }
        return Ok(false);
    }
    // A failure leaves the lock to run out, so that not every process tries at once.
    let windows = github.rate_limit().await?;
    // GitHub Enterprise Server answers 404 where its limits are off.
    if windows.is_empty() && queue.set_unlimited(installation).await? {
        tracing::info!(%installation, "this GitHub limits no requests; they are sent without a budget");
    }
    for window in windows.iter().filter(|window| RESOURCES.contains(&window.resource.as_str())) {
        queue.observe(installation, &observation(window, github.now())).await?;
    }
    queue.shared_put(&mark, b"1", RESULT_TTL).await?;
    Ok(true)
}

fn observation(window: &RateHeaders, now: DateTime<Utc>) -> Observation {
    Observation {
        endpoint: None,
        resource: window.resource.clone(),
        limit: window.limit,
        remaining: window.remaining,
        reset_in: (window.reset_at - now).to_std().unwrap_or_default(),
        reset: window.reset_at.timestamp(),
    }
}
