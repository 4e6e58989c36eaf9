//! Settings of connections, and the pools made from them.

use std::{str::FromStr, sync::Arc, time::Duration};

use domain::{PasswordSource, Secret};
use sqlx::{
    AssertSqlSafe, Connection, Executor, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{runtime::Handle, task::spawn_blocking, time::sleep};

use crate::{Result, StoreError};

/// Idle time after which a connection is checked before it is used.
const PING_AFTER_IDLE: Duration = Duration::from_secs(1);
/// Interval at which the source of the password is read again.
const PASSWORD_INTERVAL: Duration = Duration::from_secs(2);

/// Pooler in front of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pooler {
    /// None, or one that keeps a connection for a client.
    #[default]
    None,
    /// One that keeps a connection only for a transaction, and prepared statements by their text. Limits then come from
    /// each transaction, or from the role's own settings.
    Transaction,
}

/// A replica for lists.
#[derive(Clone, Debug)]
pub struct ReplicaSettings {
    /// Connection URL.
    pub url: Secret,
    /// Age of its data up to which it is used.
    pub max_age: Duration,
}

/// Settings of a store.
#[derive(Clone)]
pub struct StoreSettings {
    /// Connection URL.
    pub url: Secret,
    /// Most connections.
    pub connections: u32,
    /// Certificates to trust besides the system's, in PEM. An address with a file of its own (`sslrootcert`) ignores them.
    pub roots: Arc<[u8]>,
    /// Password for new connections, instead of the one in the URL.
    pub password: Option<PasswordSource>,
    /// Pooler in front of the server.
    pub pooler: Pooler,
    /// Replica for lists.
    pub replica: Option<ReplicaSettings>,
}

impl std::fmt::Debug for StoreSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreSettings").field("pooler", &self.pooler).finish_non_exhaustive()
    }
}

impl StoreSettings {
    /// Returns settings with this address and number of connections, and nothing else.
    pub fn new(url: Secret, connections: u32) -> Self {
        Self { url, connections, roots: Arc::from([]), password: None, pooler: Pooler::None, replica: None }
    }

    /// Returns the options of connections to `url`.
    ///
    /// # Errors
    /// `Database` if the address cannot be parsed.
    pub(crate) fn options(&self, url: &Secret) -> Result<PgConnectOptions> {
        let mut options = PgConnectOptions::from_str(url.expose())
            .map_err(StoreError::Database)?
            .application_name("runner-token-service");
        if self.pooler == Pooler::Transaction {
            // A pooler refuses what it cannot set for each client.
            options = options.extra_float_digits(None);
        }
        let own_roots = ["sslrootcert", "ssl-root-cert", "ssl-ca"];
        if !self.roots.is_empty() && !own_roots.iter().any(|name| url.expose().contains(name)) {
            options = options.ssl_root_cert_from_pem(self.roots.to_vec());
        }
        if let Some(password) = self.password.as_ref().and_then(|source| source()) {
            options = options.password(password.expose());
        }
        Ok(options)
    }
}

/// Returns a pool that connects on first use.
pub(crate) fn connect_lazily(pool: PgPoolOptions, options: PgConnectOptions) -> PgPool {
    // A round trip before every use would double the cost of short statements; a recently used connection is alive.
    pool.test_before_acquire(false)
        .before_acquire(|connection, seen| {
            Box::pin(async move {
                if seen.idle_for > PING_AFTER_IDLE {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options)
}

/// Returns statements that begin a transaction with these settings, for it alone: a pooler in transaction mode keeps no
/// setting of a session.
pub(crate) fn begin_with(begin: &str, settings: &[(&str, &str)]) -> AssertSqlSafe<String> {
    let locals = settings.iter().map(|(name, value)| format!("; SET LOCAL {name} = '{value}'"));
    AssertSqlSafe(std::iter::once(begin.to_owned()).chain(locals).collect())
}

/// Returns options of a pool whose connections end their transaction before another user gets them.
pub(crate) fn ending_transactions(pool: PgPoolOptions) -> PgPoolOptions {
    pool.after_release(|connection, _| {
        Box::pin(async move { connection.execute("ROLLBACK").await.map(|_| true) })
    })
}

/// Gives new connections of these pools the newest password, until the first pool is closed. Existing connections stay
/// until they are 30 minutes old.
pub(crate) fn follow_password(source: PasswordSource, pools: Vec<PgPool>) {
    let Ok(runtime) = Handle::try_current() else { return };
    runtime.spawn(async move {
        let mut last: Option<Secret> = None;
        while pools.first().is_some_and(|pool| !pool.is_closed()) {
            let read = source.clone();
            if let Some(password) = spawn_blocking(move || read()).await.ok().flatten() {
                let known = last.as_ref().map(Secret::expose);
                if known != Some(password.expose()) {
                    for pool in &pools {
                        let options = (*pool.connect_options()).clone().password(password.expose());
                        pool.set_connect_options(options);
                    }
                    if known.is_some() {
                        tracing::info!("the database password has changed; new connections use the new one");
                    }
                    last = Some(password);
                }
            }
            sleep(PASSWORD_INTERVAL).await;
        }
    });
}
