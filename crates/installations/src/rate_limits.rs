//! Rest of GitHub's rate limit windows, fetched before the first response reports it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::InstallationId;
use github::{GitHub, GitHubError, RateHeaders};
use queue::{Observation, Queue, QueueError};

use crate::{
    Installations,
    settings::{CHECK_INTERVAL, MARK_TTL, mark},
};

/// Resources of the windows that the service uses.
const RESOURCES: [&str; 2] = ["core", "actions_runner_registration"];
/// Time the fetching process has before another may try: longer than a request takes.
const LOCK_TTL: Duration = Duration::from_secs(30);
/// Number of times the other processes check for its result.
const MAX_LOOKUPS: u32 = 40;
/// Time between two checks.
const LOOKUP_INTERVAL: Duration = Duration::from_millis(50);
/// Time for which no process fetches again: the responses since then report the same.
const RESULT_TTL: Duration = Duration::from_hours(1);

impl Installations {
    /// Fetches the windows of every GitHub with limits, unless a process of this deployment has done so. Of all
    /// processes that start at once, one fetches. Returns the number of installations fetched. Failures are logged; the
    /// first response of a job reports the same.
    pub async fn fetch_rate_limits(&self, queue: &Queue) -> usize {
        self.fetch_all(queue).await.into_iter().flatten().map(usize::from).sum()
    }

    /// Returns for each installation with limits whether it was fetched now; `None` if it must be tried again.
    async fn fetch_all(&self, queue: &Queue) -> Vec<Option<bool>> {
        let limited = self.0.by_id.iter().filter(|(_, client)| client.limited);
        let fetches = limited.map(|(installation, client)| async move {
            match fetch_for(queue, installation, &client.github).await {
                Ok(fetched) => Some(fetched),
                // GitHub asked to wait: the first response after the wait reports the same.
                Err(RateLimitError::GitHub(GitHubError::Held { .. })) => None,
                Err(error) => {
                    tracing::warn!(%installation, %error, "GitHub's rate limits could not be fetched");
                    None
                }
            }
        });
        futures::future::join_all(fetches).await
    }

    /// Fetches the windows again and again, because a Redis that lost its data has none. Never returns.
    pub async fn refresh_rate_limits(self, queue: Queue) {
        let mut names: Vec<_> = self.0.by_id.keys().map(InstallationId::as_str).collect();
        names.sort_unstable();
        let mark = mark("windows", &names);
        loop {
            // One question for all installations, whichever number they are.
            if matches!(queue.shared_get(&mark).await, Ok(None)) {
                let done = self.fetch_all(&queue).await.iter().all(Option::is_some);
                if done && let Err(error) = queue.shared_put(&mark, b"1", MARK_TTL).await {
                    tracing::debug!(%error, "The check of GitHub's windows could not be marked as done");
                }
            }
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
    }
}

/// Failure to fetch the windows.
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
        // The fetching process publishes the result for all. If it fails, the others do not wait for long.
        for _ in 0..MAX_LOOKUPS {
            tokio::time::sleep(LOOKUP_INTERVAL).await;
            if queue.shared_get(&mark).await?.is_some() {
                break;
            }
        }
        return Ok(false);
    }
    // After a failure the lock expires by itself, so that not every process tries at once.
    let windows = github.rate_limit().await?;
    // GitHub Enterprise Server answers 404 where its limits are off.
    if windows.is_empty() && queue.set_unlimited(installation).await? {
        tracing::info!(%installation, "This GitHub has no rate limits; requests are sent without a budget");
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
