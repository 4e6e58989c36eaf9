//! Waiting for a job without asking for it again and again.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{Caller, Job, JobId, JobState, Problem, ProblemCode, Requester};
use queue::{News, Watch};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::{
    access,
    app::AppState,
    error::{ApiError, ApiResult},
};

/// Shortest and longest time after which the row is read although no news of it came: news can be lost, rows cannot.
const SAFETY_POLL: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(30));
/// Longest time until the row is read after the news were interrupted: everybody waits for another while, so that not
/// all read at once.
const SPREAD: Duration = Duration::from_secs(2);
/// Shortest time between two reads of a row that is not final.
const MIN_GAP: Duration = Duration::from_millis(250);

/// The streams and waiting requests of every caller.
#[derive(Clone, Debug)]
pub(crate) struct Waits {
    open: Arc<Mutex<HashMap<Requester, u32>>>,
    max: u32,
}

/// One stream or waiting request; dropping it ends it.
#[derive(Debug)]
pub(crate) struct WaitPlace {
    open: Arc<Mutex<HashMap<Requester, u32>>>,
    requester: Requester,
}

impl Waits {
    pub(crate) fn new(max: NonZeroU32) -> Self {
        Self { open: Arc::default(), max: max.get() }
    }

    /// A place for one more, if the caller has one left.
    pub(crate) fn enter(&self, requester: Requester) -> Option<WaitPlace> {
        let mut open = lock(&self.open);
        let count = open.entry(requester).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        drop(open);
        Some(WaitPlace { open: self.open.clone(), requester })
    }
}

impl Drop for WaitPlace {
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

/// One caller's watch over one job.
#[derive(Debug)]
pub(crate) struct JobWatch {
    pub(crate) app: AppState,
    caller: Caller,
    id: JobId,
    news: Watch,
    last_read: Instant,
    /// Whether the caller's rights are to be asked for at the next read.
    recheck: bool,
}

impl JobWatch {
    /// Starts watching; the caller was just asked whether it may see the job.
    pub(crate) fn new(app: &AppState, caller: &Caller, id: JobId) -> Self {
        let (app, caller, news) = (app.clone(), caller.clone(), app.announcements.watch(id));
        Self { app, caller, id, news, last_read: Instant::now(), recheck: false }
    }

    /// Reads the job. None: there is no such job.
    ///
    /// # Errors
    /// `not_found` when the caller may not see it any more.
    pub(crate) async fn read(&mut self) -> ApiResult<Option<Job>> {
        self.last_read = Instant::now();
        let mut conn = self.app.store.conn().await?;
        let Some(job) = conn.jobs().get(self.id).await? else { return Ok(None) };
        if self.recheck {
            let caller = access::renew(&mut conn, &self.caller).await?;
            let caller = caller.filter(|caller| caller.may_see(job.team, job.requester));
            self.caller = caller.ok_or_else(|| Problem::not_found("job"))?;
            self.recheck = false;
        }
        Ok(Some(job))
    }

    /// Returns when the job should be read again, at `end` at the latest, or when the process begins to stop.
    pub(crate) async fn changed(&mut self, end: Instant) {
        let mut pause = Instant::now() + rand::random_range(SAFETY_POLL.0..SAFETY_POLL.1);
        loop {
            let until = pause.min(end);
            let news = tokio::select! {
                news = timeout_at(until, self.news.next()) => news,
                () = self.app.draining.cancelled() => return,
            };
            match news {
                Ok(News::State(state)) if state.parse().is_ok_and(JobState::is_final) => return,
                Ok(News::State(_)) => break,
                Ok(News::Access(subject)) if !access::concerns(&self.caller, subject) => {}
                Ok(News::Unsure) => {
                    self.recheck = true;
                    pause = pause.min(Instant::now() + rand::random_range(Duration::ZERO..SPREAD));
                }
                Ok(News::Access(_)) | Err(_) => {
                    self.recheck = true;
                    break;
                }
            }
        }
        sleep_until((self.last_read + MIN_GAP).min(end)).await;
    }
}

/// Whether an error ends with the outage of a store.
pub(crate) fn is_passing(error: &ApiError) -> bool {
    error.0.code == ProblemCode::DatabaseUnavailable
}

/// The job, once it is final or the time is over (or the process begins to stop). None: there is no such job.
pub(crate) async fn until_final(
    app: &AppState,
    caller: &Caller,
    id: JobId,
    wait: Duration,
) -> ApiResult<Option<Job>> {
    until(app, caller, (id, wait), |job| job.state.is_final()).await
}

/// The job, once it is as wished or the time is over. A caller with too many open waits is answered at once.
pub(crate) async fn until(
    app: &AppState,
    caller: &Caller,
    (id, wait): (JobId, Duration),
    wished: impl Fn(&Job) -> bool,
) -> ApiResult<Option<Job>> {
    let place = app.waits().enter(caller.requester);
    let end = Instant::now() + place.as_ref().map_or(Duration::ZERO, |_| wait);
    let mut watch = JobWatch::new(app, caller, id);
    let mut last = None;
    loop {
        let over = || Instant::now() >= end || app.draining.is_cancelled();
        match watch.read().await {
            Ok(None) => return Ok(None),
            Ok(Some(job)) if wished(&job) || over() => return Ok(Some(job)),
            Ok(job) => last = job,
            // An outage in the middle of a wait is a reason to wait, not to fail.
            Err(error) if is_passing(&error) && last.is_some() && !over() => {}
            Err(error) => return Err(error),
        }
        watch.changed(end).await;
    }
}
