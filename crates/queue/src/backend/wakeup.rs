//! Waiting for new work without asking: a blocking pop on a connection of its own.

use std::time::Duration;

use redis::{aio::MultiplexedConnection, cmd};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use super::Dispatcher;
use crate::{Queue, QueueError};

/// A listener that nobody asks shows this often that it lives.
const IDLE: Duration = Duration::from_secs(10);

/// The dispatcher's ear. Listens only when asked: a token popped by a busy worker wakes nobody.
pub(super) struct WakeupListener {
    ask: mpsc::Sender<Duration>,
    wakeups: mpsc::Receiver<()>,
}

impl WakeupListener {
    /// The ear and the task that listens; the task ends with the ear.
    pub(super) fn new(queue: Queue, shown: Dispatcher) -> (Self, impl Future<Output = ()> + Send) {
        let (ask, asked) = mpsc::channel(1);
        let (hand, rung) = mpsc::channel(1);
        (Self { ask, wakeups: rung }, listen(queue, (asked, hand), shown))
    }

    /// Listens for so long, unless it listens already.
    pub(super) fn listen(&self, duration: Duration) {
        // A full channel means the wish is already known.
        let _ = self.ask.try_send(duration);
    }

    /// The next ring. Never, if the listener is gone: the dispatcher's own clock then still runs.
    pub(super) async fn wait(&mut self) {
        if self.wakeups.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

async fn listen(
    queue: Queue,
    (mut asked, hand): (mpsc::Receiver<Duration>, mpsc::Sender<()>),
    shown: Dispatcher,
) {
    let mut connection = None;
    let mut pause = Duration::from_millis(200);
    loop {
        shown.wakeup().tick();
        let duration = match timeout(IDLE, asked.recv()).await {
            Ok(Some(duration)) => duration,
            Ok(None) => break,
            Err(_) => continue,
        };
        match pop(&queue, &mut connection, duration).await {
            Ok(true) => {
                pause = Duration::from_millis(200);
                metrics::counter!("rts_queue_wakeups_total").increment(1);
                let _ = hand.try_send(());
            }
            Ok(false) => pause = Duration::from_millis(200),
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "the bell's connection broke");
                connection = None;
                sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(2));
            }
        }
    }
}

/// True: a token was there. Waits for the given time at most, plus two seconds for a slow answer.
async fn pop(
    queue: &Queue,
    connection: &mut Option<MultiplexedConnection>,
    duration: Duration,
) -> Result<bool, QueueError> {
    if connection.is_none() {
        *connection = Some(queue.link().own().await?);
    }
    let connection = connection.as_mut().ok_or(QueueError::Unexpected("no connection"))?;
    let mut pop = cmd("BLPOP");
    pop.arg(queue.key("wakeup")).arg(duration.as_secs_f64().max(0.01));
    let limit = duration + Duration::from_secs(2);
    let token: Option<(String, String)> =
        timeout(limit, pop.query_async(connection)).await.map_err(|_| QueueError::Timeout)??;
    Ok(token.is_some())
}
