//! Waits for a job without repeated queries.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{Caller, Job, JobId, JobState, Problem, ProblemCode, Requester};
use queue::{News, Watch};
use tokio::time::{Instant, timeout_at};

use crate::{
    access,
    app::AppState,
    error::{ApiError, ApiResult},
};

/// Shortest and longest time until the row is read without an announcement: announcements can be lost, rows cannot.
const SAFETY_POLL: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(30));
/// Longest delay of the read after announcements were interrupted. Each waiter takes a random part of it, so that they
/// do not all read at once.
const REREAD_SPREAD: Duration = Duration::from_secs(2);
/// Shortest time between two reads of a row that is not final.
const MIN_READ_INTERVAL: Duration = Duration::from_millis(250);

/// The streams and waiting requests of every caller.
#[derive(Clone, Debug)]
pub(crate) struct Waits {
    open: Arc<Mutex<HashMap<Requester, u32>>>,
    max: u32,
}

/// One open stream or waiting request, freed on drop.
#[derive(Debug)]
pub(crate) struct WaitSlot {
    open: Arc<Mutex<HashMap<Requester, u32>>>,
    requester: Requester,
}

impl Waits {
    pub(crate) fn new(max: NonZeroU32) -> Self {
        Self { open: Arc::default(), max: max.get() }
    }

    /// Returns a slot for one more wait, `None` if the caller has none left.
    pub(crate) fn acquire(&self, requester: Requester) -> Option<WaitSlot> {
        let mut open = lock(&self.open);
        let count = open.entry(requester).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        drop(open);
        Some(WaitSlot { open: self.open.clone(), requester })
    }
}

impl Drop for WaitSlot {
    fn drop(&mut self) {
        let mut open = lock(&self.open);
        if let Some(count) = open.get_mut(&self.requester) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.requester);
            }
        }
    }
}

fn lock(open: &Mutex<HashMap<Requester, u32>>) -> MutexGuard<'_, HashMap<Requester, u32>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Watch of one caller over one job.
#[derive(Debug)]
pub(crate) struct JobWatch {
    pub(crate) app: AppState,
    caller: Caller,
    id: JobId,
    news: Watch,
    last_read: Instant,
    /// Whether the next read must check the caller's rights again.
    recheck: bool,
}

impl JobWatch {
    /// Starts the watch. The caller's right to see the job has just been checked.
    pub(crate) fn new(app: &AppState, caller: &Caller, id: JobId) -> Self {
        let (app, caller, news) = (app.clone(), caller.clone(), app.announcements.watch(id));
        Self { app, caller, id, news, last_read: Instant::now(), recheck: false }
    }

    /// Reads the job. Returns `None` if there is no such job.
    ///
    /// # Errors
    /// `not_found` when the caller may no longer see the job.
    pub(crate) async fn read(&mut self) -> ApiResult<Option<Job>> {
        self.last_read = Instant::now();
        let mut conn = self.app.store.conn().await?;
        let Some(job) = conn.jobs().get(self.id).await? else { return Ok(None) };
        if self.recheck {
            let caller = access::reload_caller(&mut conn, &self.caller).await?;
            let caller = caller.filter(|caller| caller.may_see(job.team, job.requester));
            self.caller = caller.ok_or_else(|| Problem::not_found("job"))?;
            self.recheck = false;
        }
        Ok(Some(job))
    }

    /// Returns when the job should be read again, at `end` at the latest, or when the process begins to stop.
    pub(crate) async fn wait_for_change(&mut self, end: Instant) {
        let quiet = (Instant::now() + rand::random_range(SAFETY_POLL.0..SAFETY_POLL.1)).min(end);
        let mut next = NextRead { at: quiet, earliest: self.last_read + MIN_READ_INTERVAL };
        loop {
            let news = tokio::select! {
                news = timeout_at(next.at.min(end), self.news.next()) => news,
                () = self.app.draining.cancelled() => return,
            };
            match news {
                Ok(News::State(state)) if state.parse().is_ok_and(JobState::is_final) => return,
                Ok(News::State(_)) => next.not_after(Instant::now()),
                Ok(News::Access(subject)) if !access::concerns(&self.caller, subject) => {}
                Ok(News::Access(_)) => {
                    self.recheck = true;
                    next.not_after(Instant::now());
                }
                Ok(News::Unsure) => {
                    self.recheck = true;
                    next.not_after(Instant::now() + rand::random_range(Duration::ZERO..REREAD_SPREAD));
                }
                Err(_) => {
                    self.recheck |= next.at == quiet;
                    return;
                }
            }
        }
    }
}

/// Time of the next read of a row. News of a final state does not wait for it.
#[derive(Debug)]
struct NextRead {
    at: Instant,
    /// News of other states waits until this time.
    earliest: Instant,
}

impl NextRead {
    /// Brings the read forward to `time`, but not before the earliest time.
    fn not_after(&mut self, time: Instant) {
        self.at = self.at.min(time.max(self.earliest));
    }
}

/// Returns whether an error is a temporary outage of the database.
pub(crate) fn is_temporary(error: &ApiError) -> bool {
    error.0.code == ProblemCode::DatabaseUnavailable
}

/// Waits until the job is final, the time is over or the process begins to stop. Returns the job, `None` if there is no
/// such job.
pub(crate) async fn until_final(
    app: &AppState,
    caller: &Caller,
    id: JobId,
    wait: Duration,
) -> ApiResult<Option<Job>> {
    wait_until(app, caller, id, wait, |job| job.state.is_final()).await
}

/// Waits until the job satisfies the condition or the time is over. A caller with too many open waits does not wait.
pub(crate) async fn wait_until(
    app: &AppState,
    caller: &Caller,
    id: JobId,
    wait: Duration,
    condition: impl Fn(&Job) -> bool,
) -> ApiResult<Option<Job>> {
    let slot = app.waits().acquire(caller.requester);
    let end = Instant::now() + slot.as_ref().map_or(Duration::ZERO, |_| wait);
    let mut watch = JobWatch::new(app, caller, id);
    let mut last = None;
    loop {
        let over = || Instant::now() >= end || app.draining.is_cancelled();
        match watch.read().await {
            Ok(None) => return Ok(None),
            Ok(Some(job)) if condition(&job) || over() => return Ok(Some(job)),
            Ok(job) => last = job,
            // During an outage the wait goes on.
            Err(error) if is_temporary(&error) && last.is_some() && !over() => {}
            Err(error) => return Err(error),
        }
        watch.wait_for_change(end).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_is_brought_forward_but_not_before_the_earliest_time() {
        let now = Instant::now();
        let (second, minute) = (Duration::from_secs(1), Duration::from_mins(1));
        let mut next = NextRead { at: now + minute, earliest: now + second };
        next.not_after(now);
        assert_eq!(next.at, now + second, "news of a job that runs waits for the earliest time");
        next.not_after(now + minute);
        assert_eq!(next.at, now + second, "later news does not put the read off");
    }
}
