//! One connection for many callers, made when first needed and again when it broke.

use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, RedisError, ScriptInvocation,
    aio::{MultiplexedConnection, PubSub},
};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout, timeout_at},
};

use crate::QueueError;

/// A lazily made, self-healing connection. Every call ends within the time-out.
pub(crate) struct Link {
    client: Client,
    limit: Duration,
    slot: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    connection: Option<MultiplexedConnection>,
    generation: u64,
}

impl Link {
    pub(crate) fn new(client: Client, limit: Duration) -> Self {
        Self { client, limit, slot: Mutex::default() }
    }

    /// Runs a script, loading it first if this Redis does not know it.
    pub(crate) async fn script<T: FromRedisValue>(
        &self,
        call: &ScriptInvocation<'_>,
    ) -> Result<T, QueueError> {
        self.twice(Call::Script(call)).await
    }

    /// Runs one command.
    pub(crate) async fn command<T: FromRedisValue>(&self, call: &Cmd) -> Result<T, QueueError> {
        self.twice(Call::Command(call)).await
    }

    /// A connection for one blocking reader alone: no time-out on answers, the reader sets its own.
    pub(crate) async fn own(&self) -> Result<MultiplexedConnection, QueueError> {
        let settings =
            AsyncConnectionConfig::new().set_connection_timeout(Some(self.limit)).set_response_timeout(None);
        let made =
            timeout(self.limit, self.client.get_multiplexed_async_connection_with_config(&settings)).await;
        Ok(made.map_err(|_| QueueError::Timeout)??)
    }

    /// A connection that has subscribed to a channel.
    pub(crate) async fn subscriber(&self, channel: &str) -> Result<PubSub, QueueError> {
        let subscribe = async {
            let mut connection = self.client.get_async_pubsub().await?;
            connection.subscribe(channel).await?;
            Ok(connection)
        };
        timeout(self.limit, subscribe).await.map_err(|_| QueueError::Timeout)?
    }

    /// A connection that broke while idle is found out by its next call, so that call gets a second try.
    async fn twice<T: FromRedisValue>(&self, call: Call<'_>) -> Result<T, QueueError> {
        let until = Instant::now() + self.limit;
        let answer = match self.once(until, call).await {
            Err(QueueError::Redis(error)) if broke(&error) => self.once(until, call).await,
            answer => answer,
        };
        if answer.is_err() {
            metrics::counter!("rts_queue_redis_errors_total").increment(1);
        }
        answer
    }

    async fn once<T: FromRedisValue>(&self, until: Instant, call: Call<'_>) -> Result<T, QueueError> {
        let (mut connection, generation) =
            timeout_at(until, self.connection()).await.map_err(|_| QueueError::Timeout)??;
        match timeout_at(until, call.on(&mut connection)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                if broke(&error) {
                    self.forget(generation).await;
                }
                Err(error.into())
            }
            Err(_) => {
                self.forget(generation).await;
                Err(QueueError::Timeout)
            }
        }
    }

    async fn connection(&self) -> Result<(MultiplexedConnection, u64), QueueError> {
        let mut slot = self.slot.lock().await;
        if slot.connection.is_none() {
            slot.connection = Some(self.own().await?);
            slot.generation += 1;
        }
        let connection = slot.connection.clone().ok_or(QueueError::Unexpected("no connection"))?;
        Ok((connection, slot.generation))
    }

    async fn forget(&self, generation: u64) {
        let mut slot = self.slot.lock().await;
        if slot.generation == generation {
            slot.connection = None;
        }
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

fn broke(error: &RedisError) -> bool {
    error.is_io_error() || error.is_unrecoverable_error()
}
