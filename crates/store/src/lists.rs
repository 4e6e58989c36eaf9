//! Connections for lists. They are few, their statements are short, and a statement whose reader has gone is cancelled.
//! Lists therefore never take a connection from provisioning.

use std::{
    ops::{Deref, DerefMut},
    time::Duration,
};

use sqlx::{
    Executor, PgConnection, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::runtime::Handle;

use crate::{
    Result,
    connect::{Pooler, begin_with, connect_lazily, ending_transactions},
};

/// Most connections for lists in one process.
const MAX_CONNECTIONS: u32 = 6;
/// Longest wait of a list for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// Settings of each list.
const SETTINGS: [(&str, &str); 3] = [
    ("statement_timeout", "2500ms"),
    ("lock_timeout", "1s"),
    // An absent filter must cost nothing, and PostgreSQL uses partial indexes only for known values.
    ("plan_cache_mode", "force_custom_plan"),
];

/// Returns the pool of these connections, which connects on first use.
pub(crate) fn pool(options: PgConnectOptions, pooler: Pooler) -> PgPool {
    let options = options.application_name("runner-token-service lists");
    let pool = PgPoolOptions::new().max_connections(MAX_CONNECTIONS).acquire_timeout(ACQUIRE_TIMEOUT);
    match pooler {
        Pooler::None => {
            let read_only = [("default_transaction_read_only", "on")];
            connect_lazily(pool, options.options(SETTINGS).options(read_only))
        }
        Pooler::Transaction => connect_lazily(ending_transactions(pool), options),
    }
}

/// One connection for reading a list. If it is dropped before [`Lists::done`], its running statement is cancelled.
#[derive(Debug)]
pub struct Lists(pub(crate) CancelOnDrop);

/// A connection that cancels its running statement when it is dropped.
#[derive(Debug)]
pub(crate) struct CancelOnDrop {
    connection: Option<PoolConnection<Postgres>>,
    backend: i32,
    /// Pool that the cancellation is sent from.
    control: PgPool,
}

impl Lists {
    /// Takes a connection. Behind a pooler in transaction mode it is a transaction, so that the statements, and the
    /// cancellation of one, meet the same server process.
    pub(crate) async fn acquire(lists: &PgPool, control: &PgPool, pooler: Pooler) -> Result<Self> {
        let mut connection = lists.acquire().await?;
        if pooler == Pooler::Transaction {
            connection.execute(begin_with("BEGIN READ ONLY", &SETTINGS)).await?;
        }
        let backend =
            sqlx::query_scalar!(r#"SELECT pg_backend_pid() AS "pid!""#).fetch_one(&mut *connection).await?;
        Ok(Self(CancelOnDrop { connection: Some(connection), backend, control: control.clone() }))
    }

    /// Returns the connection to its pool, after all statements have ended.
    pub fn done(mut self) {
        drop(self.0.connection.take());
    }
}

impl Deref for CancelOnDrop {
    type Target = PgConnection;

    #[expect(clippy::expect_used, reason = "only `done` and `drop` take it, and both end this value")]
    fn deref(&self) -> &PgConnection {
        self.connection.as_ref().expect("taken only at the end")
    }
}

impl DerefMut for CancelOnDrop {
    #[expect(clippy::expect_used, reason = "only `done` and `drop` take it, and both end this value")]
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect("taken only at the end")
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        connection.close_on_drop();
        let (backend, control) = (self.backend, self.control.clone());
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move {
            // The connection is kept until the cancellation was sent, so that its process id belongs to no other
            // statement.
            let cancelled =
                sqlx::query_scalar!("SELECT pg_cancel_backend($1)", backend).fetch_one(&control).await;
            if let Err(error) = cancelled {
                tracing::debug!(%error, "an abandoned list could not be cancelled; it runs until its time-out");
            }
            drop(connection);
        });
    }
}
