//! Redelivery of lost webhooks. GitHub repeats no failed delivery by itself, but does so on request for three days.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use domain::InstallationId;
use futures::future::join_all;
use github::{Delivery, GitHub, GitHubError};
use store::{SweepResume, SweepTurn};
use tokio::time::sleep;
use uuid::Uuid;

use installations::is_rate_limited;

use crate::{Parts, StepError, periodic};

/// Interval between two readings of the list.
const SWEEP_INTERVAL: TimeDelta = TimeDelta::minutes(3);
/// Period that every reading covers again, for failed redeliveries and for deliveries listed out of order.
const SEARCH_OVERLAP: TimeDelta = TimeDelta::hours(1);
/// Redeliveries of one event. The pause between them is `ATTEMPT_PAUSE`, then ten times that.
const MAX_ATTEMPTS: i16 = 3;
const ATTEMPT_PAUSE: TimeDelta = TimeDelta::minutes(2);

/// Limits of one step for one App; the next step continues where it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Deliveries per page.
    pub page: u32,
    /// Pages read.
    pub pages: usize,
    /// Redeliveries requested.
    pub posts: usize,
    /// Time between two redelivery requests.
    pub gap: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { page: 100, pages: 10, posts: 15, gap: Duration::from_secs(1) }
    }
}

/// Part of the list of failed deliveries, newest first.
#[derive(Debug, Default)]
struct Reading {
    deliveries: Vec<Delivery>,
    /// Cursor of the next page, if the reading was cut short.
    next: Option<String>,
}

/// Lost events in the list: for each, the attempt to repeat, and the newest time read.
#[derive(Debug, Default, PartialEq, Eq)]
struct Lost {
    attempts: HashMap<Uuid, i64>,
    newest: Option<DateTime<Utc>>,
}

/// Reads the list of failed deliveries of every App that is due; GitHub keeps one list for all installations of an App.
/// Returns the number of redeliveries requested.
///
/// # Errors
/// Returns the error of one App, after all Apps had their turn.
pub async fn run(parts: Parts) -> Result<u64, StepError> {
    run_within(&parts, &Bounds::default()).await
}

/// Reads the lists of all Apps that are due, within `bounds`. Returns the number of redeliveries requested.
///
/// # Errors
/// Returns the error of one App, after all Apps had their turn.
pub async fn run_within(parts: &Parts, bounds: &Bounds) -> Result<u64, StepError> {
    // All at the same time: a slow App does not delay the others.
    let apps = parts.installations.apps();
    let all = apps.iter().map(|installations| sweep_app(parts, installations, bounds));
    join_all(all).await.into_iter().sum()
}

/// Reads an App's list with the first of its installations that is not rate-limited. The choice does not matter much:
/// each installation stores how far it read, and requested redeliveries are stored for all.
async fn sweep_app(
    parts: &Parts,
    installations: &[&InstallationId],
    bounds: &Bounds,
) -> Result<u64, StepError> {
    let Some((installation, github)) = unlimited_installation(parts, installations).await? else {
        return Ok(0);
    };
    let mut conn = parts.store.conn().await?;
    let pool = parts.installations.pool_of(installation);
    conn.installations().ensure_app(installation, pool).await?;
    let turn = conn.installations().take_sweep(installation, SWEEP_INTERVAL).await?;
    drop(conn);
    let Some(turn) = turn else { return Ok(0) };
    let sweep = RedeliverySweep { parts, installation, github, bounds };
    match sweep.sweep_part(&turn).await {
        Err(StepError::GitHub(error)) => {
            tracing::warn!(%installation, %error, "redelivery of lost webhooks failed; the next step tries again");
            Err(error.into())
        }
        Err(error) => Err(error),
        Ok(asked) => {
            for installation in installations {
                periodic::record_success("redeliver", installation);
            }
            Ok(asked)
        }
    }
}

async fn unlimited_installation<'p>(
    parts: &'p Parts,
    installations: &[&'p InstallationId],
) -> Result<Option<(&'p InstallationId, &'p GitHub)>, StepError> {
    for &installation in installations {
        if let Some(github) = parts.installations.get(installation)
            && !is_rate_limited(&parts.queue, installation).await?
        {
            return Ok(Some((installation, github)));
        }
    }
    Ok(None)
}

/// Sweep of one App's list, on behalf of one of its installations.
struct RedeliverySweep<'s> {
    parts: &'s Parts,
    installation: &'s InstallationId,
    github: &'s GitHub,
    bounds: &'s Bounds,
}

impl RedeliverySweep<'_> {
    /// Reads one part of the list and requests its lost deliveries. The part counts as read only if all of them were
    /// requested, and the list only when all of its parts were read.
    async fn sweep_part(&self, turn: &SweepTurn) -> Result<u64, StepError> {
        let reading = self.read_failed_deliveries(turn).await?;
        let lost = lost_events(&reading.deliveries);
        let (asked, whole) = self.request_redeliveries(&lost).await?;
        let newest = turn.resume.as_ref().map(|resume| resume.newest).max(lost.newest);
        let next = reading.next.zip(newest).map(|(from, newest)| SweepResume { from, newest });
        let mut conn = self.parts.store.conn().await?;
        match (whole, &next) {
            (false, _) => {
                conn.installations().continue_sweep(self.installation, turn.resume.as_ref()).await?;
            }
            (true, Some(next)) => conn.installations().continue_sweep(self.installation, Some(next)).await?,
            (true, None) => conn.installations().complete_sweep(self.installation, newest).await?,
        }
        Ok(asked)
    }

    /// Continues reading, newest first, back to an hour before the start of the last reading.
    async fn read_failed_deliveries(&self, turn: &SweepTurn) -> Result<Reading, StepError> {
        let since = turn.until.map(|until| until - SEARCH_OVERLAP);
        let mut reading =
            Reading { next: turn.resume.as_ref().map(|resume| resume.from.clone()), ..Reading::default() };
        for _ in 0..self.bounds.pages {
            let cursor = reading.next.take();
            let page =
                match self.github.list_failed_hook_deliveries(cursor.as_deref(), self.bounds.page).await {
                    Ok(page) => page,
                    Err(error @ GitHubError::Refused { .. }) if cursor.is_some() => {
                        // GitHub does not know the cursor any more: the next step starts over.
                        self.parts
                            .store
                            .conn()
                            .await?
                            .installations()
                            .continue_sweep(self.installation, None)
                            .await?;
                        return Err(error.into());
                    }
                    Err(error) => return Err(error.into()),
                };
            let end = page.deliveries.last().is_none_or(|last| since.is_some_and(|s| last.delivered_at < s));
            reading.deliveries.extend(page.deliveries);
            reading.next = page.next_cursor.filter(|_| !end);
            if reading.next.is_none() {
                break;
            }
        }
        Ok(reading)
    }

    /// Requests redelivery of events that are not in the inbox. Every delivery that was answered is in the inbox, even
    /// if this list does not show that attempt. Returns the number of requests, and whether all were made.
    async fn request_redeliveries(&self, lost: &Lost) -> Result<(u64, bool), StepError> {
        let ids: Vec<Uuid> = lost.attempts.keys().copied().collect();
        let mut conn = self.parts.store.conn().await?;
        let missing = conn.installations().find_missing_deliveries(&ids, MAX_ATTEMPTS, ATTEMPT_PAUSE).await?;
        drop(conn);
        let mut asked = 0;
        for (nth, id) in missing.iter().enumerate() {
            if nth == self.bounds.posts || (nth > 0 && !self.wait_before_next().await?) {
                return Ok((asked, false));
            }
            let Some(attempt) = lost.attempts.get(id) else { continue };
            // Stored before the request, so that an event that cannot be sent again is not requested forever.
            self.parts.store.conn().await?.installations().record_redelivery_request(*id).await?;
            match self.github.redeliver_hook(*attempt).await {
                Ok(()) => asked += 1,
                Err(error @ GitHubError::Refused { .. }) => {
                    tracing::warn!(delivery = %id, %error, "GitHub refuses to redeliver a lost webhook");
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok((asked, true))
    }

    /// Waits between two writes to GitHub. Returns false if the installation is rate-limited.
    async fn wait_before_next(&self) -> Result<bool, StepError> {
        sleep(self.bounds.gap).await;
        Ok(!is_rate_limited(&self.parts.queue, self.installation).await?)
    }
}

/// Returns the events without a successful attempt in the list, with the newest attempt of each.
fn lost_events(deliveries: &[Delivery]) -> Lost {
    let mut lost = Lost { newest: deliveries.iter().map(|one| one.delivered_at).max(), ..Lost::default() };
    let arrived = |code: i64| (200..400).contains(&code);
    for one in deliveries {
        let Ok(id) = one.guid.parse::<Uuid>() else { continue };
        let newest = lost.attempts.entry(id).or_insert(one.id);
        *newest = one.id.max(*newest);
    }
    for one in deliveries {
        // A payload that was too large is too large again.
        if (arrived(one.status_code) || one.status_code == 413)
            && let Ok(id) = one.guid.parse::<Uuid>()
        {
            lost.attempts.remove(&id);
        }
    }
    lost
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(id: i64, guid: u128, status_code: i64) -> Delivery {
        Delivery {
            id,
            guid: Uuid::from_u128(guid).to_string(),
            delivered_at: DateTime::UNIX_EPOCH + TimeDelta::seconds(id),
            redelivery: false,
            status: String::new(),
            status_code,
            event: "workflow_job".into(),
            action: None,
        }
    }

    #[test]
    fn only_undelivered_webhooks_are_lost() {
        let list = [
            attempt(6, 4, 413),
            attempt(5, 3, 502),
            attempt(4, 2, 202),
            attempt(3, 3, 504),
            attempt(2, 2, 500),
            attempt(1, 1, 202),
        ];
        let found = lost_events(&list);
        assert_eq!(found.attempts, HashMap::from([(Uuid::from_u128(3), 5)]));
        assert_eq!(found.newest, Some(DateTime::UNIX_EPOCH + TimeDelta::seconds(6)));
        assert_eq!(lost_events(&[]), Lost::default());
    }
}
