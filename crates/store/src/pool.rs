//! Connections and transactions.
//!
//! A [`Conn`] commits each statement by itself; a [`Tx`] commits all of its statements or none. Both give access to the
//! rows by noun: `conn.runners()`, `tx.jobs()`.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use domain::Secret;
use sqlx::{
    PgConnection, PgPool, Postgres, Transaction, migrate::Migrator, pool::PoolConnection,
    postgres::PgPoolOptions,
};

use crate::{
    Audit, AuditChains, BatchRuns, Batches, Cancellations, ClaimTickets, Clients, Credentials, DatabaseFacts,
    EventDeliveries, EventStreams, Fleet, Flow, GithubCalls, Idempotency, Imports, Incidents, Installations,
    Jobs, Leases, Lists, Overviews, Pauses, Permissions, QueueDepths, Requesters, Result, Retention,
    Revocations, Runners, SchedulerSteps, SelfRegistered, Sessions, SignIns, Stats, SyncRuns, Teams,
    UnmanagedRunners, Users, Versions, Webhooks, Workers,
    connect::{Pooler, StoreSettings, begin_with, connect_lazily, follow_password},
    detach::CompleteInBackground,
    facts, lists,
    migrate::{self, Schema, grants},
    replica::Replica,
};

/// The migrations, in the order of their versions.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// Limits of each connection, and of each transaction behind a pooler in transaction mode.
const LIMITS: [(&str, &str); 3] =
    [("statement_timeout", "10s"), ("lock_timeout", "5s"), ("idle_in_transaction_session_timeout", "30s")];

/// The database. Clones share one pool.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
    lists: PgPool,
    replica: Option<Replica>,
    pooler: Pooler,
}

/// One open transaction. It is rolled back if it is dropped without [`Tx::commit`].
#[derive(Debug)]
pub struct Tx(Transaction<'static, Postgres>);

/// One connection outside any transaction: each statement commits by itself.
#[derive(Debug)]
pub struct Conn(PoolConnection<Postgres>);

impl Store {
    /// Prepares a pool. It connects on first use, so that a process can start without the database. The time-outs are
    /// 10 s for statements, 5 s for locks and 3 s for a connection.
    ///
    /// # Errors
    /// `Database` if the address cannot be parsed.
    pub fn new(url: &Secret, most_connections: u32) -> Result<Self> {
        Self::open(StoreSettings::new(url.clone(), most_connections))
    }

    /// Prepares the pools of these settings.
    ///
    /// # Errors
    /// `Database` if an address cannot be parsed.
    pub fn open(settings: StoreSettings) -> Result<Self> {
        let mut options = settings.options(&settings.url)?;
        let pool = PgPoolOptions::new()
            .max_connections(settings.connections)
            .acquire_timeout(Duration::from_secs(3));
        let lists = lists::pool(options.clone(), settings.pooler);
        if settings.pooler == Pooler::None {
            options = options.options(LIMITS);
        }
        let pool = connect_lazily(pool, options);
        let replica = settings.replica.as_ref().map(|one| Replica::open(&settings, one)).transpose()?;
        let store = Self { pool, lists, replica, pooler: settings.pooler };
        if let Some(source) = settings.password {
            let replica = store.replica.iter().flat_map(|one| [one.lists.clone(), one.control.clone()]);
            follow_password(
                source,
                [store.pool.clone(), store.lists.clone()].into_iter().chain(replica).collect(),
            );
        }
        Ok(store)
    }

    /// Returns whether a pooler in transaction mode is in front of the server. Migrations cannot pass it.
    pub fn is_pooled(&self) -> bool {
        self.pooler == Pooler::Transaction
    }

    /// Applies the missing migrations, on a separate connection and under a lock: any number of processes may call it
    /// at once.
    ///
    /// # Errors
    /// [`crate::StoreError::MigrationBlocked`] if a migration gets no lock within 15 minutes; database errors.
    pub async fn migrate(&self) -> Result<()> {
        self.migrate_within(migrate::MAX_LOCK_WAIT).await
    }

    /// Applies the missing migrations like [`Self::migrate`]; each waits at most `lock_wait` for its locks.
    ///
    /// # Errors
    /// [`crate::StoreError::MigrationBlocked`] if a migration gets no lock in that time; database errors.
    pub async fn migrate_within(&self, lock_wait: Duration) -> Result<()> {
        migrate::run((*self.pool.connect_options()).clone(), lock_wait).await
    }

    /// Compares the tables with the migrations of this program.
    pub async fn schema(&self) -> Result<Schema> {
        migrate::schema(&mut *self.pool.acquire().await?).await
    }

    /// Returns whether this store may apply migrations: by its role, and not through a pooler in transaction mode.
    pub async fn may_migrate(&self) -> Result<bool> {
        if self.is_pooled() {
            return Ok(false);
        }
        grants::may_migrate(&mut *self.pool.acquire().await?).await
    }

    /// Grants `role` exactly the privileges the service needs. Only the owner of the tables can.
    ///
    /// # Errors
    /// [`crate::StoreError::Role`] if the role does not exist or has privileges that it must not have.
    pub async fn grant_to(&self, role: &str) -> Result<()> {
        grants::grant((*self.pool.connect_options()).clone(), role).await
    }

    /// Sets the age after which audit rows and security events may be removed; `None` forbids removal. Only the owner
    /// of the tables can.
    pub async fn keep_audit(&self, age: Option<TimeDelta>) -> Result<()> {
        grants::keep_audit(&mut *self.pool.acquire().await?, age).await
    }

    /// Returns whether any migration was applied.
    pub async fn has_tables(&self) -> Result<bool> {
        let there = sqlx::query_scalar("SELECT to_regclass('users') IS NOT NULL");
        Ok(there.fetch_one(&self.pool).await?)
    }

    /// Returns facts about the server and the role of this store. The tables must exist.
    pub async fn facts(&self) -> Result<DatabaseFacts> {
        facts::read(&mut *self.pool.acquire().await?).await
    }

    /// Checks that the database answers.
    pub async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }

    /// Returns the time by the database's clock, which all processes share.
    pub async fn now(&self) -> Result<DateTime<Utc>> {
        Ok(sqlx::query_scalar!(r#"SELECT clock_timestamp() AS "now!""#).fetch_one(&self.pool).await?)
    }

    /// Begins a transaction. The `BEGIN` is completed even if the caller is cancelled: the driver would return the
    /// connection with an open transaction, and the next writes on it would be lost.
    pub async fn begin(&self) -> Result<Tx> {
        let (pool, pooled) = (self.pool.clone(), self.is_pooled());
        let begin = async move {
            if pooled { pool.begin_with(begin_with("BEGIN", &LIMITS)).await } else { pool.begin().await }
        };
        Ok(Tx(CompleteInBackground::new(begin).await?))
    }

    /// Begins a transaction for a request that may have to wait for others. It waits at most 500 ms for a lock and then
    /// fails with `Unavailable`, so that one held lock cannot occupy all connections.
    pub async fn begin_briefly(&self) -> Result<Tx> {
        let pool = self.pool.clone();
        let limits = if self.is_pooled() { &LIMITS[..] } else { &[] };
        let begin = begin_with("BEGIN", &[limits, &[("lock_timeout", "500ms")]].concat());
        Ok(Tx(CompleteInBackground::new(async move { pool.begin_with(begin).await }).await?))
    }

    /// Takes a connection outside any transaction.
    pub async fn conn(&self) -> Result<Conn> {
        Ok(Conn(self.pool.acquire().await?))
    }

    /// Takes a connection from the pool for lists.
    pub async fn lists(&self) -> Result<Lists> {
        Lists::acquire(&self.lists, &self.pool, self.pooler).await
    }

    /// Returns the age up to which the replica's data is used; `None` without a replica.
    pub fn replica_max_age(&self) -> Option<Duration> {
        self.replica.as_ref().map(Replica::max_age)
    }

    /// Takes a connection for lists from the replica, with the age of its data. Without a replica, and while it is away
    /// or its data too old, the connection is from the server and the age `None`.
    pub async fn replica_lists(&self) -> Result<(Lists, Option<Duration>)> {
        if let Some(replica) = &self.replica
            && let Some(age) = replica.age(&self.pool)
        {
            match Lists::acquire(&replica.lists, &replica.control, Pooler::None).await {
                Ok(lists) => return Ok((lists, Some(age))),
                Err(error) => {
                    tracing::warn!(%error, "the replica for lists cannot be used; the list comes from the server");
                    replica.set_unknown();
                }
            }
        }
        Ok((self.lists().await?, None))
    }

    /// Waits for connections in use and closes all.
    pub async fn close(&self) {
        self.lists.close().await;
        self.pool.close().await;
        if let Some(replica) = &self.replica {
            replica.lists.close().await;
            replica.control.close().await;
        }
    }

    /// Returns the numbers of open and of idle connections.
    pub fn connections(&self) -> (u32, usize) {
        (self.pool.size(), self.pool.num_idle())
    }
}

impl Tx {
    /// Commits the transaction.
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
            /// Job queries.
            jobs -> Jobs,
            /// Runner queries.
            runners -> Runners,
            /// Team and membership queries.
            teams -> Teams,
            /// User queries.
            users -> Users,
            /// Machine client queries.
            clients -> Clients,
            /// Batches of people, teams, members and machine clients.
            batches -> Batches,
            /// Counts for metrics.
            fleet -> Fleet,
            /// Flow of jobs by minute and hour.
            flow -> Flow,
            /// Course of the queue's depth.
            queue_depths -> QueueDepths,
            /// Last success of each periodic step.
            scheduler_steps -> SchedulerSteps,
            /// Facts about the whole service.
            overviews -> Overviews,
            /// Rows of the predecessor.
            imports -> Imports,
            /// Pauses by admins.
            pauses -> Pauses,
            /// Permission queries.
            permissions -> Permissions,
            /// Revocations of access.
            revocations -> Revocations,
            /// Audit log and security events.
            audit -> Audit,
            /// Batches and their items.
            batch_runs -> BatchRuns,
            /// Audit chains.
            audit_chains -> AuditChains,
            /// Streams of events to sinks.
            event_streams -> EventStreams,
            /// Events that were put aside.
            event_deliveries -> EventDeliveries,
            /// GitHub calls and their intents.
            github_calls -> GithubCalls,
            /// Sealed JIT configs.
            credentials -> Credentials,
            /// Worker heartbeats.
            workers -> Workers,
            /// Claim tickets.
            claim_tickets -> ClaimTickets,
            /// Idempotency keys.
            idempotency -> Idempotency,
            /// Webhook deliveries.
            webhooks -> Webhooks,
            /// Cancellations of workflow runs.
            cancellations -> Cancellations,
            /// Incidents and blocked issuers.
            incidents -> Incidents,
            /// Installations of the App.
            installations -> Installations,
            /// Sync runs.
            sync_runs -> SyncRuns,
            /// Unmanaged runners.
            unmanaged_runners -> UnmanagedRunners,
            /// Versions of the runner software.
            versions -> Versions,
            /// Runners that register themselves.
            self_registered -> SelfRegistered,
            /// Sessions of people in the dashboard.
            sessions -> Sessions,
            /// Sign-ins that have begun.
            sign_ins -> SignIns,
            /// Requesters that a text names.
            requesters -> Requesters,
            /// Counts for an overview.
            stats -> Stats,
            /// Named leases.
            leases -> Leases,
            /// Removal of old rows.
            retention -> Retention,
        );
    )+};
}
nouns!(Tx, Conn, Lists);
