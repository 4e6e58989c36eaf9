//! One connection for many callers, made when first needed and again when it broke or was refused.
//!
//! One background task at a time looks for the server. While it has found none, calls fail at once instead of waiting
//! for their time-outs, so that a Redis that is away does not slow down requests that can do without it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use redis::{
    Cmd, FromRedisValue, RedisError, ScriptInvocation,
    aio::{MultiplexedConnection, PubSub},
};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout, timeout_at},
};

use crate::{
    QueueError,
    finder::{Finder, Found, is_refusal, settings},
};

/// While no server is known, a call waits for an attempt to find one until the attempt is this old.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(200);
/// First and longest pause between attempts.
const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// A lazily made, self-healing connection. Every call ends within the time limit.
pub(crate) struct Link {
    shared: Arc<Shared>,
    limit: Duration,
}

struct Shared {
    finder: Finder,
    limit: Duration,
    state: Mutex<State>,
    /// Changes with every new connection.
    generation: watch::Sender<u64>,
    /// Changes at the end of every attempt.
    attempts: watch::Sender<u64>,
    /// Asks a resting search for an attempt now.
    wanted: Notify,
}

#[derive(Default)]
struct State {
    live: Option<Live>,
    search: Search,
}

#[derive(Clone)]
struct Live {
    found: Found,
    generation: u64,
}

/// What the background task does.
#[derive(Clone, Copy, Default)]
enum Search {
    #[default]
    None,
    /// The first attempt after a connection was there: callers wait for it.
    First,
    /// An attempt after a failed one.
    Again { since: Instant },
    /// Between attempts.
    Resting {
        /// The last attempt got no answer, so an earlier next one would not either.
        silent: bool,
    },
}

impl Link {
    pub(crate) fn new(finder: Finder, limit: Duration) -> Self {
        let shared = Shared {
            finder,
            limit,
            state: Mutex::default(),
            generation: watch::Sender::new(0),
            attempts: watch::Sender::new(0),
            wanted: Notify::new(),
        };
        Self { shared: Arc::new(shared), limit }
    }

    /// Runs a script, loading it first if this Redis does not know it.
    pub(crate) async fn script<T: FromRedisValue>(
        &self,
        call: &ScriptInvocation<'_>,
    ) -> Result<T, QueueError> {
        self.run_with_retry(Call::Script(call)).await
    }

    /// Runs one command.
    pub(crate) async fn command<T: FromRedisValue>(&self, call: &Cmd) -> Result<T, QueueError> {
        self.run_with_retry(Call::Command(call)).await
    }

    /// Returns a connection for one blocking reader alone. It has no time limit on answers: the reader sets its own.
    pub(crate) async fn own(&self) -> Result<MultiplexedConnection, QueueError> {
        let connect = async {
            let live = self.live(Instant::now() + self.limit).await?;
            Ok(live.found.client.get_multiplexed_async_connection_with_config(&settings()).await?)
        };
        timeout(self.limit, connect).await.map_err(|_| QueueError::Timeout)?
    }

    /// Returns a connection that has subscribed to a channel.
    pub(crate) async fn subscriber(&self, channel: &str) -> Result<PubSub, QueueError> {
        let subscribe = async {
            let live = self.live(Instant::now() + self.limit).await?;
            let mut connection = live.found.client.get_async_pubsub().await?;
            connection.subscribe(channel).await?;
            Ok(connection)
        };
        timeout(self.limit, subscribe).await.map_err(|_| QueueError::Timeout)?
    }

    /// Returns a signal that changes whenever another connection, perhaps to another server, is in use.
    pub(crate) fn generations(&self) -> watch::Receiver<u64> {
        self.shared.generation.subscribe()
    }

    /// A connection that broke while idle, or that leads to the wrong server, is found out by its next call, so that call
    /// gets a second try.
    async fn run_with_retry<T: FromRedisValue>(&self, call: Call<'_>) -> Result<T, QueueError> {
        let until = Instant::now() + self.limit;
        let answer = match self.run_once(until, call).await {
            Err(QueueError::Redis(error)) if is_lost(&error) => self.run_once(until, call).await,
            answer => answer,
        };
        if answer.is_err() {
            metrics::counter!("rts_queue_redis_errors_total").increment(1);
        }
        answer
    }

    async fn run_once<T: FromRedisValue>(&self, until: Instant, call: Call<'_>) -> Result<T, QueueError> {
        let live = self.live(until).await?;
        match timeout_at(until, call.on(&mut live.found.connection.clone())).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                if is_lost(&error) {
                    self.shared.forget(live.generation);
                }
                Err(error.into())
            }
            Err(_) => {
                // A server that does not answer may not answer the next caller either: look for it in the background.
                if self.shared.forget(live.generation) {
                    self.shared.start_search(Search::Again { since: Instant::now() });
                }
                Err(QueueError::Timeout)
            }
        }
    }

    /// Returns the connection in use, or waits for one to be made: until the time given at first, and hardly at all once
    /// an attempt has failed.
    async fn live(&self, until: Instant) -> Result<Live, QueueError> {
        let mut attempts = self.shared.attempts.subscribe();
        let (search, live) = {
            let state = self.shared.lock();
            (state.search, state.live.clone())
        };
        if let Some(live) = live {
            return Ok(live);
        }
        let until = match search {
            Search::None => {
                self.shared.start_search(Search::First);
                until
            }
            Search::First => until,
            Search::Again { since } => until.min(since + CONNECT_TIMEOUT),
            Search::Resting { silent: true } => return Err(QueueError::Away),
            Search::Resting { silent: false } => {
                self.shared.wanted.notify_one();
                until.min(Instant::now() + CONNECT_TIMEOUT)
            }
        };
        let waited = timeout_at(until, attempts.changed()).await;
        let live = self.shared.lock().live.clone();
        match (live, waited) {
            (Some(live), _) => Ok(live),
            (None, Err(_)) if matches!(search, Search::None | Search::First) => Err(QueueError::Timeout),
            (None, _) => Err(QueueError::Away),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops using a connection. False: another one is in use already.
    fn forget(&self, generation: u64) -> bool {
        let mut state = self.lock();
        let ours = state.live.as_ref().is_some_and(|live| live.generation == generation);
        if ours {
            state.live = None;
        }
        ours
    }

    /// Starts the background task unless it runs.
    fn start_search(self: &Arc<Self>, begin: Search) {
        let mut state = self.lock();
        if state.live.is_none() && matches!(state.search, Search::None) {
            state.search = begin;
            tokio::spawn(search(Arc::downgrade(self)));
        }
    }

    /// One attempt. True: a server was found.
    async fn attempt(&self) -> bool {
        let outcome = timeout(self.limit, self.finder.find()).await;
        let mut state = self.lock();
        let found = match outcome {
            Ok(Ok(found)) => {
                state.search = Search::None;
                let generation = *self.generation.borrow() + 1;
                state.live = Some(Live { found, generation });
                self.generation.send_replace(generation);
                true
            }
            Ok(Err(error)) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "no Redis server takes writes");
                state.search = Search::Resting { silent: false };
                false
            }
            Err(_) => {
                tracing::debug!("no Redis server answers");
                state.search = Search::Resting { silent: true };
                false
            }
        };
        drop(state);
        self.attempts.send_modify(|attempts| *attempts += 1);
        found
    }
}

/// Looks for a server until one is found or nobody needs one any more.
async fn search(link: Weak<Shared>) {
    let mut pause = RETRY_PAUSE.0;
    loop {
        let Some(shared) = link.upgrade() else { return };
        if shared.attempt().await {
            return;
        }
        // Two attempts are never closer than the shortest pause, however many callers ask for one.
        sleep(RETRY_PAUSE.0).await;
        let _ = timeout(pause.saturating_sub(RETRY_PAUSE.0), shared.wanted.notified()).await;
        pause = (pause * 2).min(RETRY_PAUSE.1);
        shared.lock().search = Search::Again { since: Instant::now() };
    }
}

#[derive(Clone, Copy)]
enum Call<'a> {
    Script(&'a ScriptInvocation<'a>),
    Command(&'a Cmd),
}

impl Call<'_> {
    async fn on<T: FromRedisValue>(self, connection: &mut MultiplexedConnection) -> Result<T, RedisError> {
        match self {
            Self::Script(script) => script.invoke_async(connection).await,
            Self::Command(command) => command.query_async(connection).await,
        }
    }
}

/// Whether the connection is of no more use: broken, or to a server that refuses our commands.
fn is_lost(error: &RedisError) -> bool {
    error.is_io_error() || error.is_unrecoverable_error() || is_refusal(error)
}
