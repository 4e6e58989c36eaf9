//! GitHub never sends a lost webhook again by itself, but does so when asked, for three days.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use domain::InstallationId;
use futures::future::join_all;
use github::{Delivery, GitHub, GitHubError};
use uuid::Uuid;

use fleet::limited;

use crate::{Parts, StepError};

/// How often the list is read.
const EVERY: TimeDelta = TimeDelta::minutes(3);
/// Read again each time, for deliveries whose redelivery failed and for times that are not in order.
const OVERLAP: TimeDelta = TimeDelta::hours(1);
/// Deliveries of one page and pages of one sweep; on a first sweep older ones stay lost.
const PAGE: u32 = 100;
const PAGES: usize = 10;
/// Events asked for in one sweep.
const MOST: usize = 50;
/// How often one event is asked for, and the time between: this, then ten times this.
const ATTEMPTS: i16 = 3;
const PAUSE: TimeDelta = TimeDelta::minutes(2);

/// What the list says: the attempt to repeat for each event that never came, and the newest time read.
#[derive(Debug, Default, PartialEq, Eq)]
struct Lost {
    attempts: HashMap<Uuid, i64>,
    newest: Option<DateTime<Utc>>,
}

/// Reads the list of deliveries of every installation whose turn it is. Answers how many events were asked for again.
pub async fn run(parts: Parts) -> Result<u64, StepError> {
    sweep(&parts, EVERY).await
}

/// The same, with the time that must have passed since the last reading.
async fn sweep(parts: &Parts, every: TimeDelta) -> Result<u64, StepError> {
    // All at the same time: one that is slow holds nobody up.
    let all = parts.fleet.iter().map(|(installation, github)| in_turn(parts, (installation, github), every));
    let asked = join_all(all).await.into_iter().collect::<Result<Vec<u64>, StepError>>()?;
    Ok(asked.into_iter().sum())
}

async fn in_turn(
    parts: &Parts,
    (installation, github): (&InstallationId, &GitHub),
    every: TimeDelta,
) -> Result<u64, StepError> {
    // A personal access token has no webhook of its own.
    if parts.fleet.github_id(installation).is_none() || limited(&parts.spine, installation).await? {
        return Ok(0);
    }
    let mut read = parts.store.read().await?;
    read.installations().ensure(std::slice::from_ref(installation)).await?;
    let turn = read.installations().take_sweep(installation, every).await?;
    drop(read);
    let Some(until) = turn else { return Ok(0) };
    match one(parts, (installation, github), until).await? {
        Ok(done) => Ok(done),
        Err(error) => {
            tracing::warn!(%installation, %error, "lost webhooks could not be asked for; the next sweep tries again");
            Ok(0)
        }
    }
}

/// One installation's list. It counts as read only if everything in it could be asked for.
async fn one(
    parts: &Parts,
    (installation, github): (&InstallationId, &GitHub),
    until: Option<DateTime<Utc>>,
) -> Result<Result<u64, GitHubError>, StepError> {
    let lost = match read(github, until.map(|until| until - OVERLAP)).await {
        Ok(lost) => lost,
        Err(error) => return Ok(Err(error)),
    };
    let ids: Vec<Uuid> = lost.attempts.keys().copied().collect();
    let missing = parts.store.read().await?.installations().missing(&ids, ATTEMPTS, PAUSE).await?;
    let mut asked = 0;
    for id in missing.iter().take(MOST) {
        let Some(attempt) = lost.attempts.get(id) else { continue };
        // A limit may hold by now; what could not be asked for is no try.
        if limited(&parts.spine, installation).await? {
            return Ok(Ok(asked));
        }
        // Noted before: an event that cannot be sent again is not asked for for ever.
        parts.store.read().await?.installations().asked_again(*id).await?;
        match github.redeliver_hook(*attempt).await {
            Ok(()) => asked += 1,
            Err(error @ GitHubError::Refused { .. }) => {
                tracing::warn!(delivery = %id, %error, "a lost webhook cannot be had");
            }
            Err(error) => return Ok(Err(error)),
        }
    }
    if missing.len() <= MOST
        && let Some(newest) = lost.newest
    {
        parts.store.read().await?.installations().swept(installation, newest).await?;
    }
    Ok(Ok(asked))
}

/// Reads the list back to `since`, newest first.
async fn read(github: &GitHub, since: Option<DateTime<Utc>>) -> Result<Lost, GitHubError> {
    let (mut all, mut cursor) = (Vec::new(), None);
    for _ in 0..PAGES {
        let page = github.list_hook_deliveries(cursor.as_deref(), PAGE).await?;
        let reached = page.deliveries.last().is_none_or(|last| since.is_some_and(|s| last.delivered_at < s));
        all.extend(page.deliveries);
        cursor = page.next_cursor;
        if reached || cursor.is_none() {
            break;
        }
    }
    Ok(lost(&all))
}

/// Events of which no attempt succeeded; with the newest attempt of each.
fn lost(deliveries: &[Delivery]) -> Lost {
    let mut lost = Lost { newest: deliveries.iter().map(|one| one.delivered_at).max(), ..Lost::default() };
    let arrived = |code: i64| (200..400).contains(&code);
    for one in deliveries {
        let Ok(id) = one.guid.parse::<Uuid>() else { continue };
        let newest = lost.attempts.entry(id).or_insert(one.id);
        *newest = one.id.max(*newest);
    }
    for one in deliveries {
        // One that was too large will be so again.
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
    fn only_what_never_came_is_lost() {
        let list = [
            attempt(6, 4, 413),
            attempt(5, 3, 502),
            attempt(4, 2, 202),
            attempt(3, 3, 504),
            attempt(2, 2, 500),
            attempt(1, 1, 202),
        ];
        let found = lost(&list);
        assert_eq!(found.attempts, HashMap::from([(Uuid::from_u128(3), 5)]));
        assert_eq!(found.newest, Some(DateTime::UNIX_EPOCH + TimeDelta::seconds(6)));
        assert_eq!(lost(&[]), Lost::default());
    }
}
