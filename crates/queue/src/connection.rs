//! Shared connection to Redis, made on first use and again after it broke or was refused.
//!
//! At most one background task searches for the server. While it has found none, calls fail at once instead of waiting
//! for their time limits. Requests that can do without Redis are therefore not slowed down.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use domain::tls_advice;
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

/// While no server is known, a call waits for a search attempt until the attempt is this old.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(200);
/// Shortest pause between attempts.
const MIN_RETRY_PAUSE: Duration = Duration::from_millis(50);
/// Longest pause between attempts.
const MAX_RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Fault of a server that does not answer a TLS client. Redis waits for the end of what is no command to it.
const NO_HANDSHAKE: &str = "it did not respond to TLS in time; its port may be for connections without TLS";

/// A connection that is made on demand and again after failures. Every call ends within `limit`.
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
    /// Requests an attempt from a search that pauses between attempts.
    wanted: Notify,
    /// Begin of the first call without an answer since the last answer.
    unanswered: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct State {
    live: Option<Live>,
    search: Search,
    /// Why TLS failed in the last attempt, if that was the reason.
    tls_fault: Option<&'static str>,
}

impl State {
    /// Returns the reason why no server is known.
    fn away(&self) -> QueueError {
        self.tls_fault.map_or(QueueError::Away, QueueError::Tls)
    }

    /// Stores the fault and logs it when it is a new one, because it needs an operator.
    fn set_tls_fault(&mut self, fault: Option<&'static str>) {
        if let Some(fault) = fault.filter(|fault| self.tls_fault != Some(fault)) {
            tracing::warn!("No Redis server can be used: {fault}");
        }
        self.tls_fault = fault;
    }
}

#[derive(Clone)]
struct Live {
    found: Found,
    generation: u64,
}

/// State of the background task.
#[derive(Clone, Copy, Default)]
enum Search {
    #[default]
    None,
    /// First attempt after a lost connection: callers wait for it.
    First,
    /// Attempt after a failed one.
    Again { since: Instant },
    /// Pause between attempts.
    Pausing {
        /// The last attempt got no response, so an earlier next one would get none either.
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
            unanswered: Mutex::default(),
        };
        Self { shared: Arc::new(shared), limit }
    }

    /// Runs a script, loading it first if the server does not know it.
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

    /// Returns a connection for one blocking reader alone. It has no time limit on responses: the reader sets its own.
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

    /// Returns a signal that changes with each new connection, which may lead to another server.
    pub(crate) fn generations(&self) -> watch::Receiver<u64> {
        self.shared.generation.subscribe()
    }

    /// Runs a call, and a second time if the connection proves to be lost. A connection that broke while idle, or that
    /// leads to the wrong server, is detected only by its next call.
    async fn run_with_retry<T: FromRedisValue>(&self, call: Call<'_>) -> Result<T, QueueError> {
        let begun = Instant::now();
        let until = begun + self.limit;
        let answer = match self.run_once(until, call).await {
            Err(QueueError::Redis(error)) if is_lost(&error) => self.run_once(until, call).await,
            answer => answer,
        };
        if answer.is_err() {
            metrics::counter!("rts_queue_redis_errors_total").increment(1);
        }
        self.shared.record_answer(begun, answer.as_ref().err());
        answer
    }

    /// Returns the time since the first call without an answer, `None` if the last call had one.
    pub(crate) fn unanswered_for(&self) -> Option<Duration> {
        let unanswered = *self.shared.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
        unanswered.map(|since| since.elapsed())
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
                // The server may not respond to the next caller either: search in the background.
                if self.shared.forget(live.generation) {
                    self.shared.start_search(Search::Again { since: Instant::now() });
                }
                Err(QueueError::Timeout)
            }
        }
    }

    /// Returns the connection in use, or waits for one: until `until` during the first attempt, at most
    /// [`CONNECT_TIMEOUT`] after a failed one.
    async fn live(&self, until: Instant) -> Result<Live, QueueError> {
        let mut attempts = self.shared.attempts.subscribe();
        let (search, live, away) = {
            let state = self.shared.lock();
            (state.search, state.live.clone(), state.away())
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
            Search::Pausing { silent: true } => return Err(away),
            Search::Pausing { silent: false } => {
                self.shared.wanted.notify_one();
                until.min(Instant::now() + CONNECT_TIMEOUT)
            }
        };
        let waited = timeout_at(until, attempts.changed()).await;
        let state = self.shared.lock();
        match (state.live.clone(), waited) {
            (Some(live), _) => Ok(live),
            (None, Err(_)) if matches!(search, Search::None | Search::First) => Err(QueueError::Timeout),
            (None, _) => Err(state.away()),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers whether a call that began then had an answer. An error that Redis itself reports is one.
    fn record_answer(&self, begun: Instant, error: Option<&QueueError>) {
        let answers = match error {
            None => true,
            Some(QueueError::Redis(error)) => !is_lost(error),
            Some(error) => !error.is_transient(),
        };
        let mut unanswered = self.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
        if answers {
            *unanswered = None;
        } else if unanswered.is_none() {
            *unanswered = Some(begun);
        }
    }

    /// Stops using a connection. Returns false if another one is in use already.
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

    /// Makes one attempt and returns whether a server was found.
    async fn attempt(&self) -> bool {
        let outcome = timeout(self.limit, self.finder.find()).await;
        let mut state = self.lock();
        let found = match outcome {
            Ok(Ok(found)) => {
                state.search = Search::None;
                let generation = *self.generation.borrow() + 1;
                state.live = Some(Live { found, generation });
                state.set_tls_fault(None);
                self.generation.send_replace(generation);
                true
            }
            Ok(Err(error)) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "No Redis server accepts writes");
                state.set_tls_fault(tls_advice(&error));
                state.search = Search::Pausing { silent: false };
                false
            }
            Err(_) => {
                tracing::debug!("No Redis server responds");
                state.set_tls_fault(self.finder.uses_tls().then_some(NO_HANDSHAKE));
                state.search = Search::Pausing { silent: true };
                false
            }
        };
        drop(state);
        self.attempts.send_modify(|attempts| *attempts += 1);
        found
    }
}

/// Searches until a server is found or the connection is dropped.
async fn search(link: Weak<Shared>) {
    let mut pause = MIN_RETRY_PAUSE;
    loop {
        let Some(shared) = link.upgrade() else { return };
        if shared.attempt().await {
            return;
        }
        // Two attempts are never closer than the shortest pause, regardless of the number of callers.
        sleep(MIN_RETRY_PAUSE).await;
        let _ = timeout(pause.saturating_sub(MIN_RETRY_PAUSE), shared.wanted.notified()).await;
        pause = (pause * 2).min(MAX_RETRY_PAUSE);
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

/// Whether the connection is unusable: broken, or to a server that refuses our commands.
fn is_lost(error: &RedisError) -> bool {
    error.is_io_error() || error.is_unrecoverable_error() || is_refusal(error)
}
