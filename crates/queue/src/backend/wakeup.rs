//! Wake-up listener: a blocking pop on a connection of its own, so that workers need not poll for new jobs.
//!
//! Enqueuing pushes a token to a short list, and a free worker waits for one. A lost token costs nothing but time: the
//! dispatcher also claims by a timer.

use std::time::Duration;

use redis::{aio::MultiplexedConnection, cmd};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use super::Dispatcher;
use crate::{Queue, QueueError};

/// Interval at which an idle listener reports that it is alive.
const IDLE_HEARTBEAT: Duration = Duration::from_secs(10);

/// Handle of the wake-up listener. It listens only on request, so that a busy worker consumes no token.
pub(super) struct WakeupListener {
    requests: mpsc::Sender<Duration>,
    wakeups: mpsc::Receiver<()>,
}

impl WakeupListener {
    /// Returns the handle and the task that listens. The task ends when the handle is dropped.
    pub(super) fn new(queue: Queue, dispatcher: Dispatcher) -> (Self, impl Future<Output = ()> + Send) {
        let (requests, received_requests) = mpsc::channel(1);
        let (sender, wakeups) = mpsc::channel(1);
        (Self { requests, wakeups }, listen(queue, received_requests, sender, dispatcher))
    }

    /// Starts listening for `duration`, unless the task listens already.
    pub(super) fn listen(&self, duration: Duration) {
        // A full channel already holds a request.
        let _ = self.requests.try_send(duration);
    }

    /// Waits for the next wake-up. Never returns if the task is gone; the dispatcher then depends on its timer.
    pub(super) async fn wait(&mut self) {
        if self.wakeups.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

async fn listen(
    queue: Queue,
    mut requests: mpsc::Receiver<Duration>,
    wakeups: mpsc::Sender<()>,
    dispatcher: Dispatcher,
) {
    let mut connection = None;
    let mut pause = Duration::from_millis(200);
    loop {
        dispatcher.wakeup().tick();
        let duration = match timeout(IDLE_HEARTBEAT, requests.recv()).await {
            Ok(Some(duration)) => duration,
            Ok(None) => break,
            Err(_) => continue,
        };
        match pop(&queue, &mut connection, duration).await {
            Ok(true) => {
                pause = Duration::from_millis(200);
                metrics::counter!("rts_queue_wakeups_total").increment(1);
                let _ = wakeups.try_send(());
            }
            Ok(false) => pause = Duration::from_millis(200),
            Err(error) => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "Wake-up connection failed; connecting again"
                );
                connection = None;
                sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(2));
            }
        }
    }
}

/// Returns whether a token was popped. Waits for `duration` at most, plus two seconds for a slow response.
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
