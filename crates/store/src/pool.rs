//! Connections and transactions.

use std::{str::FromStr, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use domain::Secret;
use sqlx::{
    Connection, PgConnection, PgPool, Postgres, Transaction,
    migrate::Migrator,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{
    Audit, Cancellations, Clients, Credentials, GithubCalls, Idempotency, Installations, Jobs, Leases, Lists,
    Permissions, Result, Retention, Revocations, Runners, SelfRegistered, StoreError, SyncRuns, Teams, Users,
    Versions, Webhooks, Workers,
    detach::CompleteInBackground,
    lists,
    migrate::{self, Schema, grants},
};

/// The tables, in the order they came to be.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// A connection idle for longer is asked for a sign of life before it is used.
const PING_AFTER_IDLE: Duration = Duration::from_secs(1);

/// The database. Clones share one pool.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
    lists: PgPool,
    options: PgConnectOptions,
}

/// One open transaction. Dropped without [`Tx::commit`], it never happened.
#[derive(Debug)]
pub struct Tx(Transaction<'static, Postgres>);

/// One connection outside any transaction: each statement commits by itself.
#[derive(Debug)]
pub struct Conn(PoolConnection<Postgres>);

impl Store {
    /// Prepares a pool; connects on first use, so that a process can start while the database is away.
    /// Statements are cut off after 10 s, locks after 5 s, waiting for a connection after 3 s.
    ///
    /// # Errors
    /// When the address cannot be read.
    pub fn new(url: &Secret, most_connections: u32) -> Result<Self> {
        Self::trusting(url, most_connections, &[])
    }

    /// Prepares a pool that trusts these certificate authorities (in PEM) besides the usual ones, unless the address names
    /// a file of its own (`sslrootcert`).
    ///
    /// # Errors
    /// When the address cannot be read.
    pub fn trusting(url: &Secret, most_connections: u32, roots: &[u8]) -> Result<Self> {
        let mut options = PgConnectOptions::from_str(url.expose())
            .map_err(StoreError::Database)?
            .application_name("runner-token-service")
            .options([
                ("statement_timeout", "10s"),
                ("lock_timeout", "5s"),
                ("idle_in_transaction_session_timeout", "30s"),
            ]);
        if !roots.is_empty()
            && !["sslrootcert", "ssl-root-cert", "ssl-ca"].iter().any(|name| url.expose().contains(name))
        {
            options = options.ssl_root_cert_from_pem(roots.to_vec());
        }
        let pool =
            PgPoolOptions::new().max_connections(most_connections).acquire_timeout(Duration::from_secs(3));
        let pool = connect_lazily(pool, options.clone());
        Ok(Self { pool, lists: lists::pool(options.clone()), options })
    }

    /// Brings the tables up to date, on a connection of its own and under a lock: any number of processes may call it at
    /// once.
    pub async fn migrate(&self) -> Result<()> {
        migrate::run(self.options.clone()).await
    }

    /// Whether the tables are what this program needs.
    pub async fn schema(&self) -> Result<Schema> {
        migrate::schema(&mut *self.pool.acquire().await?).await
    }

    /// Whether the role of this store may bring the tables up to date.
    pub async fn may_migrate(&self) -> Result<bool> {
        grants::may_migrate(&mut *self.pool.acquire().await?).await
    }

    /// Gives the role `role` the privileges the service needs and no others. Only the owner of the tables can.
    ///
    /// # Errors
    /// [`StoreError::Role`] when there is no such role, or when it has privileges that it must not have.
    pub async fn grant_to(&self, role: &str) -> Result<()> {
        grants::grant(self.options.clone(), role).await
    }

    /// Lets audit rows and security events be removed once they are `age` old; none: never. Only the owner of the tables can.
    pub async fn keep_audit(&self, age: Option<TimeDelta>) -> Result<()> {
        grants::keep_audit(&mut *self.pool.acquire().await?, age).await
    }

    /// Whether any migration was applied.
    pub async fn has_tables(&self) -> Result<bool> {
        let there = sqlx::query_scalar("SELECT to_regclass('users') IS NOT NULL");
        Ok(there.fetch_one(&self.pool).await?)
    }

    /// Asks for a sign of life.
    pub async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }

    /// The time by the database's clock, which all processes share.
    pub async fn now(&self) -> Result<DateTime<Utc>> {
        Ok(sqlx::query_scalar!(r#"SELECT clock_timestamp() AS "now!""#).fetch_one(&self.pool).await?)
    }

    /// Opens a transaction. Its beginning is never left half way: the driver would give the connection back with a
    /// transaction nobody knows of, and whatever is written with it next would be lost.
    pub async fn begin(&self) -> Result<Tx> {
        let pool = self.pool.clone();
        Ok(Tx(CompleteInBackground::new(async move { pool.begin().await }).await?))
    }

    /// The same for a request that may have to wait for others: its locks are waited for at most half a second, with
    /// `Unavailable` after that, so that whoever holds one does not take all connections.
    pub async fn begin_briefly(&self) -> Result<Tx> {
        let pool = self.pool.clone();
        let begin = "BEGIN; SET LOCAL lock_timeout = '500ms'";
        Ok(Tx(CompleteInBackground::new(async move { pool.begin_with(begin).await }).await?))
    }

    /// Takes a connection outside any transaction.
    pub async fn conn(&self) -> Result<Conn> {
        Ok(Conn(self.pool.acquire().await?))
    }

    /// Takes a connection to read a list with, of those that only lists use.
    pub async fn lists(&self) -> Result<Lists> {
        Lists::acquire(&self.lists, &self.pool).await
    }

    /// Waits for connections in use and closes all.
    pub async fn close(&self) {
        self.lists.close().await;
        self.pool.close().await;
    }

    /// Connections open and connections idle.
    pub fn connections(&self) -> (u32, usize) {
        (self.pool.size(), self.pool.num_idle())
    }
}

/// A pool that connects on first use.
pub(crate) fn connect_lazily(pool: PgPoolOptions, options: PgConnectOptions) -> PgPool {
    // A round trip before every use would double the cost of small ones; what was used a moment ago is alive.
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

impl Tx {
    /// Makes it true.
    pub async fn commit(self) -> Result<()> {
        Ok(self.0.commit().await?)
    }
}

macro_rules! nouns {
    ($holder:ident: $($(#[$doc:meta])* $noun:ident -> $type:ident),+ $(,)?) => {
        impl $holder {
            fn connection(&mut self) -> &mut PgConnection { &mut self.0 }
            $($(#[$doc])* pub fn $noun(&mut self) -> $type<'_> { $type(self.connection()) })+
        }
    };
    ($($holder:ident),+) => {$(
        nouns!($holder:
            /// The jobs.
            jobs -> Jobs,
            /// The runners.
            runners -> Runners,
            /// The teams and who belongs to them.
            teams -> Teams,
            /// The people.
            users -> Users,
            /// The machine clients.
            clients -> Clients,
            /// What a requester may do right now.
            permissions -> Permissions,
            /// What still lets a requester get runners.
            revocations -> Revocations,
            /// The audit log and the security events.
            audit -> Audit,
            /// The intents.
            github_calls -> GithubCalls,
            /// The sealed configs.
            credentials -> Credentials,
            /// The workers.
            workers -> Workers,
            /// The Idempotency-Keys.
            idempotency -> Idempotency,
            /// The webhook deliveries.
            webhooks -> Webhooks,
            /// The cancellations of workflow runs.
            cancellations -> Cancellations,
            /// The installations of the App.
            installations -> Installations,
            /// The fleet as a whole.
            sync_runs -> SyncRuns,
            /// Which runner software runs.
            versions -> Versions,
            /// The runners that register themselves.
            self_registered -> SelfRegistered,
            /// Who does what only one should do.
            leases -> Leases,
            /// What is kept for a while.
            retention -> Retention,
        );
    )+};
}
nouns!(Tx, Conn, Lists);
