//! Waiting for a job without asking again and again: one subscription per process, any number of watchers.

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

/// Every process says something this often, so that a silent subscription is known to be a dead one.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// A subscription that does not hear the process's own message within this time is made anew.
const ECHO_TIMEOUT: Duration = Duration::from_secs(5);

/// Changes of rights kept for a watcher that is slow to hear them; more are heard as [`News::Unsure`].
const MAX_ACCESS_NEWS: usize = 64;
/// First word of a message about rights.
const ACCESS: &str = "access";

/// What a watcher hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// The job is in this state now.
    State(String),
    /// The subscription was interrupted: something may have been missed, read the row.
    Unsure,
    /// The rights of this person, machine client or team have changed: ask again who may see the job.
    Access(Uuid),
}

/// The process's subscription. Clones share it; it ends with the last clone and the last [`SyncSettings`].
#[derive(Clone, Debug)]
pub struct Announcements(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    watchers: Arc<Watchers>,
    _stop: DropGuard,
}

#[derive(Debug)]
struct Watchers {
    of: Mutex<HashMap<JobId, watch::Sender<Option<News>>>>,
    access: broadcast::Sender<Uuid>,
    pulse: LoopHeartbeat,
}

impl Default for Watchers {
    fn default() -> Self {
        Self {
            of: Mutex::default(),
            access: broadcast::Sender::new(MAX_ACCESS_NEWS),
            pulse: LoopHeartbeat::default(),
        }
    }
}

/// Hears of one job from the moment it was made.
#[derive(Debug)]
pub struct Watch {
    job: JobId,
    receiver: Option<watch::Receiver<Option<News>>>,
    access: broadcast::Receiver<Uuid>,
    shared: Arc<Shared>,
}

impl Announcements {
    /// Subscribes in the background, again and again for ever. To be called inside a tokio runtime.
    pub fn start(queue: &Queue) -> Self {
        let watchers = Arc::new(Watchers::default());
        let stop = CancellationToken::new();
        let listener = listen(queue.clone(), watchers.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(listener));
        Self(Arc::new(Shared { watchers, _stop: stop.drop_guard() }))
    }

    /// Starts watching a job. Make the watch first, then read the row: nothing falls between.
    pub fn watch(&self, job: JobId) -> Watch {
        let mut watchers = self.0.watchers.lock();
        let receiver = watchers.entry(job).or_insert_with(|| watch::Sender::new(None)).subscribe();
        let access = self.0.watchers.access.subscribe();
        Watch { job, receiver: Some(receiver), access, shared: self.0.clone() }
    }

    /// When the subscription last heard something or was tried again (or was made). More than a minute ago: it hangs,
    /// and those who wait find out by themselves.
    pub fn last_progress(&self) -> Instant {
        self.0.watchers.pulse.last()
    }

    /// How many jobs are being watched.
    pub fn watched(&self) -> usize {
        self.0.watchers.lock().len()
    }
}

impl Watch {
    /// The next announcement since the last one heard here. Several that came at once are heard as the newest.
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
        self.of.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, text: &str) {
        let Some((job, state)) = text.split_once(' ') else { return };
        if job == ACCESS {
            // Nobody may be watching anything.
            let _ = state.parse().map(|subject| self.access.send(subject));
            return;
        }
        let Ok(job) = job.parse::<JobId>() else { return };
        if let Some(sender) = self.lock().get(&job) {
            sender.send_replace(Some(News::State(state.to_owned())));
        }
    }

    fn tell_all(&self) {
        for sender in self.lock().values() {
            sender.send_replace(Some(News::Unsure));
        }
    }
}

async fn listen(queue: Queue, watchers: Arc<Watchers>) {
    let mut pause = Duration::from_millis(100);
    loop {
        watchers.pulse.tick();
        let began = Instant::now();
        if let Err(error) = subscription(&queue, &watchers).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "announcements interrupted");
        }
        metrics::counter!("rts_queue_subscription_breaks_total").increment(1);
        pause = if began.elapsed() > HEARTBEAT { Duration::from_millis(100) } else { pause * 2 };
        pause = pause.min(Duration::from_secs(2));
        sleep(pause).await;
    }
}

/// One subscription from its beginning to its end.
async fn subscription(queue: &Queue, watchers: &Watchers) -> Result<(), QueueError> {
    let mut generations = queue.link().generations();
    let connection = queue.link().subscriber(&queue.key("news")).await?;
    watchers.tell_all();
    let mut messages = connection.into_on_message();
    let mut silent = false;
    loop {
        watchers.pulse.tick();
        let patience = if silent { ECHO_TIMEOUT } else { HEARTBEAT };
        let heard = tokio::select! {
            message = messages.next() => Some(message),
            // The process talks to another server now, from which this subscription may never hear anything.
            _ = generations.changed(), if !silent => None,
            () = sleep(patience) => None,
        };
        match heard {
            Some(Some(message)) => {
                silent = false;
                watchers.tell(&message.get_payload::<String>()?);
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
