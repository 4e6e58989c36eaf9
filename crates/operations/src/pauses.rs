//! Pauses of lanes and installations by admins. The database has them with their reasons; the queue has a copy, which
//! the scheduler writes again if the queue loses it.

use std::time::Duration;

use chrono::TimeDelta;
use domain::{PauseScope, Problem, ProblemCode};
use queue::{Paused, Queue, QueueError, Reason};
use serde_json::{Value, json};
use store::{NewPause, PauseRow, Store};

use crate::{Administrator, Operations, Result, record::extend, validate::check_reason};

/// Longest pause, in seconds.
const MAX_SECONDS: u64 = 24 * 3600;
/// Difference between the ends of a pause in the database and in the queue that needs no repair.
const TOLERANCE: Duration = Duration::from_secs(2);

impl Operations<'_> {
    /// Pauses a lane or an installation for 1 to 86,400 seconds. Running jobs finish. It never shortens a pause.
    ///
    /// # Errors
    /// `validation_failed` for the seconds or the reason; `queue_unavailable`, and nothing is written; database errors.
    pub async fn pause(
        &self,
        admin: &Administrator,
        scope: &PauseScope,
        seconds: u64,
        reason: Option<&str>,
    ) -> Result<()> {
        if !(1..=MAX_SECONDS).contains(&seconds) {
            return Err(Problem::field("/seconds", "1 to 86400").into());
        }
        check_reason("/reason", reason)?;
        self.queue.ping().await.map_err(|error| unavailable(&error))?;
        let mut tx = self.store.begin().await?;
        let duration = TimeDelta::try_seconds(seconds.cast_signed()).unwrap_or_default();
        tx.pauses().set(&NewPause { scope, duration, reason, by: admin.shown_name() }).await?;
        let kept = tx.pauses().get(scope).await?;
        let mut details = json!({ "seconds": seconds, "reason": reason });
        extend(&mut details, described(scope));
        tx.audit().write(&admin.record(event_types(scope).0, None, details)).await?;
        tx.commit().await?;
        if let Some(kept) = kept
            && let Err(error) = apply(self.queue, &kept).await
        {
            tracing::warn!(%error, "the queue is unavailable; the scheduler writes the pause to it later");
        }
        Ok(())
    }

    /// Resumes a lane or an installation. Pauses for GitHub's limits stay, and an installation that GitHub has suspended
    /// stays paused.
    ///
    /// # Errors
    /// `queue_unavailable`, and nothing is written; database errors.
    pub async fn resume(&self, admin: &Administrator, scope: &PauseScope) -> Result<()> {
        self.queue.ping().await.map_err(|error| unavailable(&error))?;
        let mut tx = self.store.begin().await?;
        tx.pauses().remove(scope).await?;
        tx.audit().write(&admin.record(event_types(scope).1, None, described(scope))).await?;
        tx.commit().await?;
        lift(self.queue, scope).await.map_err(|error| unavailable(&error))?;
        Ok(())
    }
}

/// Writes every pause of the database to the queue that the queue does not have. Returns their number.
///
/// # Errors
/// The error of the database or the queue, as text.
pub async fn restore_pauses(store: &Store, queue: &Queue) -> std::result::Result<u64, RestoreError> {
    let kept = store.conn().await?.pauses().list().await?;
    if kept.is_empty() {
        return Ok(0);
    }
    let current = queue.pauses().await?;
    let mut restored = 0;
    for pause in kept.iter().filter(|pause| !is_applied(pause, &current)) {
        apply(queue, pause).await?;
        // An admin may have resumed it since it was read.
        if store.conn().await?.pauses().get(&pause.scope).await?.is_none() {
            lift(queue, &pause.scope).await?;
        } else {
            restored += 1;
        }
    }
    Ok(restored)
}

/// Reason why pauses could not be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// The queue failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

fn unavailable(error: &QueueError) -> Problem {
    tracing::warn!(%error, "queue unavailable");
    Problem::new(ProblemCode::QueueUnavailable, "The queue is unavailable; try again shortly.").retry_after(5)
}

/// Returns the event types of a pause and of its end.
const fn event_types(scope: &PauseScope) -> (&'static str, &'static str) {
    match scope {
        PauseScope::Installation(_) => ("installation.pause", "installation.resume"),
        PauseScope::Lane(_) => ("lane.pause", "lane.resume"),
    }
}

fn described(scope: &PauseScope) -> Value {
    match scope {
        PauseScope::Installation(name) => json!({ "installation": name }),
        PauseScope::Lane(lane) => json!({ "lane": lane }),
    }
}

fn left(pause: &PauseRow) -> Duration {
    pause.left.to_std().unwrap_or_default()
}

fn is_applied(pause: &PauseRow, current: &[Paused]) -> bool {
    current.iter().any(|one| {
        one.scope == pause.scope
            && one.pause.reason == Reason::Admin
            && one.pause.left + TOLERANCE >= left(pause)
    })
}

async fn apply(queue: &Queue, pause: &PauseRow) -> std::result::Result<(), QueueError> {
    match &pause.scope {
        PauseScope::Installation(name) => queue.pause(name, left(pause), Reason::Admin).await.map(drop),
        PauseScope::Lane(lane) => queue.pause_lane(*lane, left(pause)).await.map(drop),
    }
}

async fn lift(queue: &Queue, scope: &PauseScope) -> std::result::Result<(), QueueError> {
    match scope {
        PauseScope::Installation(name) => queue.resume(name, Reason::Admin).await,
        PauseScope::Lane(lane) => queue.resume_lane(*lane).await,
    }
}
