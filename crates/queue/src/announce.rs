//! Notifications about jobs: one Redis subscription per process and any number of watchers, so that waiting requests
//! need not poll.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::JobId;
use futures::StreamExt;
use tokio::{
    sync::{broadcast, watch},
    time::{Instant, sleep},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::{Queue, QueueError, loop_heartbeat::LoopHeartbeat};

/// A subscription without a message for this long is tested with a message of this process.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// Time within which the test message must arrive; otherwise the subscription is renewed.
const ECHO_TIMEOUT: Duration = Duration::from_secs(5);

/// Access changes kept for a slow watcher. A watcher that misses some receives [`News::Unsure`].
const MAX_ACCESS_NEWS: usize = 64;
/// First word of a message about access rights.
const ACCESS: &str = "access";

/// A notification to a watcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// The job has this state now.
    State(String),
    /// Notifications may be lost because the subscription was interrupted: read the row again.
    Unsure,
    /// The rights of this user, machine client or team have changed: check again who may see the job.
    Access(Uuid),
}

/// The subscription of the process. Clones share it; it ends with the last clone and the last [`Watch`].
#[derive(Clone, Debug)]
pub struct Announcements(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    watchers: Arc<Watchers>,
    _stop: DropGuard,
}

#[derive(Debug)]
struct Watchers {
    jobs: Mutex<HashMap<JobId, watch::Sender<Option<News>>>>,
    access: broadcast::Sender<Uuid>,
    heartbeat: LoopHeartbeat,
}

impl Default for Watchers {
    fn default() -> Self {
        Self {
            jobs: Mutex::default(),
            access: broadcast::Sender::new(MAX_ACCESS_NEWS),
            heartbeat: LoopHeartbeat::default(),
        }
    }
}

/// Receiver of the notifications about one job.
#[derive(Debug)]
pub struct Watch {
    job: JobId,
    receiver: Option<watch::Receiver<Option<News>>>,
    access: broadcast::Receiver<Uuid>,
    shared: Arc<Shared>,
}

impl Announcements {
    /// Starts the subscription in the background and renews it after failures. Must be called within a tokio runtime.
    pub fn start(queue: &Queue) -> Self {
        let watchers = Arc::new(Watchers::default());
        let stop = CancellationToken::new();
        let listener = listen(queue.clone(), watchers.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(listener));
        Self(Arc::new(Shared { watchers, _stop: stop.drop_guard() }))
    }

    /// Starts watching a job. Call this before reading the row, so that no change is missed.
    pub fn watch(&self, job: JobId) -> Watch {
        let mut watchers = self.0.watchers.lock();
        let receiver = watchers.entry(job).or_insert_with(|| watch::Sender::new(None)).subscribe();
        let access = self.0.watchers.access.subscribe();
        Watch { job, receiver: Some(receiver), access, shared: self.0.clone() }
    }

    /// Returns the time of the subscription's last message or attempt, or of its start. If that is more than a minute
    /// ago, the task hangs and waiting requests depend on their own polling.
    pub fn last_progress(&self) -> Instant {
        self.0.watchers.heartbeat.last()
    }

    /// Returns the number of jobs being watched.
    pub fn watched(&self) -> usize {
        self.0.watchers.lock().len()
    }
}

impl Watch {
    /// Returns the next notification. Of several since the last call, only the newest is returned.
    pub async fn next(&mut self) -> News {
        let Some(receiver) = &mut self.receiver else { return News::Unsure };
        tokio::select! {
            biased;
            changed = receiver.changed() => match changed {
                Ok(()) => receiver.borrow_and_update().clone().unwrap_or(News::Unsure),
                Err(_) => News::Unsure,
            },
            access = self.access.recv() => access.map_or(News::Unsure, News::Access),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watchers = self.shared.watchers.lock();
        self.receiver = None;
        if watchers.get(&self.job).is_some_and(|sender| sender.receiver_count() == 0) {
            watchers.remove(&self.job);
        }
    }
}

impl Watchers {
    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, watch::Sender<Option<News>>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn deliver(&self, text: &str) {
        let Some((job, state)) = text.split_once(' ') else { return };
        if job == ACCESS {
            // Sending fails when there is no watcher.
            let _ = state.parse().map(|subject| self.access.send(subject));
            return;
        }
        let Ok(job) = job.parse::<JobId>() else { return };
        if let Some(sender) = self.lock().get(&job) {
            sender.send_replace(Some(News::State(state.to_owned())));
        }
    }

    fn mark_all_unsure(&self) {
        for sender in self.lock().values() {
            sender.send_replace(Some(News::Unsure));
        }
    }
}

async fn listen(queue: Queue, watchers: Arc<Watchers>) {
    let mut pause = Duration::from_millis(100);
    loop {
        watchers.heartbeat.tick();
        let began = Instant::now();
        if let Err(error) = run_subscription(&queue, &watchers).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "Subscription to job notifications interrupted; subscribing again"
            );
        }
        metrics::counter!("rts_queue_subscription_breaks_total").increment(1);
        pause = if began.elapsed() > HEARTBEAT { Duration::from_millis(100) } else { pause * 2 };
        pause = pause.min(Duration::from_secs(2));
        sleep(pause).await;
    }
}

/// Runs one subscription until it ends.
async fn run_subscription(queue: &Queue, watchers: &Watchers) -> Result<(), QueueError> {
    let mut generations = queue.link().generations();
    let connection = queue.link().subscriber(&queue.key("news")).await?;
    watchers.mark_all_unsure();
    let mut messages = connection.into_on_message();
    let mut silent = false;
    loop {
        watchers.heartbeat.tick();
        let limit = if silent { ECHO_TIMEOUT } else { HEARTBEAT };
        let received = tokio::select! {
            message = messages.next() => Some(message),
            // The process uses another server now; this subscription may never receive a message from it.
            _ = generations.changed(), if !silent => None,
            () = sleep(limit) => None,
        };
        match received {
            Some(Some(message)) => {
                silent = false;
                watchers.deliver(&message.get_payload::<String>()?);
            }
            Some(None) => return Ok(()),
            None if silent => return Err(QueueError::Timeout),
            None => {
                silent = true;
                generations.mark_unchanged();
                queue.publish("heartbeat").await?;
            }
        }
    }
}
