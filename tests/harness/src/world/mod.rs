//! The world of one test: its servers, its GitHub, and the processes of the service.

mod github;
mod service;

use std::{
    io::Write,
    path::PathBuf,
    sync::{Mutex, OnceLock, atomic::AtomicUsize},
    time::Duration,
};

use dev_issuer::Issuer;
use domain::Lane;
use github_twin::Twin;
use installations::Installations;
use queue::Queue;
use runtime::{Clock, FixedClock, health::LoopMonitor};
use sqlx::PgPool;
use store::Store;
use uuid::Uuid;

use crate::{Builder, Database, Process, RedisNamespace, logs, servers::Servers};

/// Key that seals JIT configs: any 32 bytes that are not all equal.
pub const CREDENTIAL_KEY: &[u8; 32] = b"a key that only tests ever use..";
/// Key that seals the GitHub tokens shared by workers and schedulers.
pub const TOKEN_KEY: &[u8; 32] = b"another key that only tests use.";

/// Everything one test needs. Dropping it stops all processes and removes the data of a passed test.
#[derive(Debug)]
pub struct World {
    pub(crate) client: reqwest::Client,
    pub(crate) choices: Builder,
    pub(crate) folder: OnceLock<PathBuf>,
    database: Database,
    redis: RedisNamespace,
    store: Store,
    queue: Queue,
    sql: PgPool,
    url: String,
    /// The simulated GitHub.
    pub twin: Twin,
    /// The trusted issuers.
    pub issuers: Vec<Issuer>,
    /// Clock that the API uses for tokens and key ages; it stands still unless a test moves it.
    pub clock: FixedClock,
    watch: Clock,
    api: Option<Process>,
    parts: Mutex<Vec<Process>>,
    installations: OnceLock<Installations>,
    made: AtomicUsize,
    /// Declared last: servers must outlive the processes that use them.
    pub(crate) servers: Servers,
}

impl World {
    /// Starts a world with one worker and no scheduler.
    ///
    /// # Panics
    /// When any part does not start.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Returns a builder with the default options.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) async fn build(choices: Builder) -> Self {
        logs::record_default();
        let mut servers = if choices.own_servers {
            Servers::own(choices.clocks.clone(), choices.tls.clone()).await
        } else {
            Servers::shared()
        };
        if let Some(layout) = choices.redis {
            servers.take_group(layout).await;
        }
        let database = crate::database::copy_on(&servers.postgres).await;
        let redis = RedisNamespace::on(&servers.redis);
        let mut issuers = Vec::new();
        for _ in 0..choices.issuers {
            issuers.push(Issuer::start(choices.issuer()).await.unwrap());
        }
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let twin = Twin::start(choices.twin_of(&url)).await.unwrap();
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_mins(2)).build().unwrap();
        let (watch, clock) = Clock::fixed(Clock::System.now());
        let mut world = Self {
            client,
            clock,
            watch,
            store: database.service_store(3),
            sql: database.pool(),
            queue: redis.queue(),
            url,
            choices,
            folder: OnceLock::new(),
            database,
            redis,
            twin,
            issuers,
            api: None,
            parts: Mutex::default(),
            installations: OnceLock::new(),
            made: AtomicUsize::new(0),
            servers,
        };
        let names: Vec<_> = world.choices.default_groups().into_keys().collect();
        world.store.conn().await.unwrap().installations().ensure(&names).await.unwrap();
        world.api = Some(world.start_api(listener));
        for _ in 0..world.choices.workers {
            let worker = world.start_worker();
            world.keep_running(worker);
        }
        if world.choices.scheduler {
            let scheduler = world.start_scheduler();
            world.keep_running(scheduler);
        }
        world
    }

    /// Returns the base URL of the API, without a trailing slash.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the first trusted issuer.
    pub fn issuer(&self) -> &Issuer {
        &self.issuers[0]
    }

    /// Returns the store, connected as the service's database role.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Returns a pool that reads and changes rows as the owner of the tables.
    pub fn sql(&self) -> &PgPool {
        &self.sql
    }

    /// Returns the queue.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Returns direct access to this world's Redis keys.
    pub fn redis(&self) -> &RedisNamespace {
        &self.redis
    }

    /// Returns the database.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Returns the text contained in every secret part of a JIT config.
    pub fn canary(&self) -> &str {
        &self.choices.twin.canary
    }

    /// Returns the count read by `sql`, a single `SELECT count(*)`.
    ///
    /// # Panics
    /// When the statement fails.
    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.sql).await.unwrap()
    }

    /// Returns a text column of one row; `$1` in `sql` is the id.
    ///
    /// # Panics
    /// When there is no such row.
    pub async fn text(&self, sql: &'static str, id: Uuid) -> String {
        sqlx::query_scalar(sql).bind(id).fetch_one(&self.sql).await.unwrap()
    }

    /// Changes one row, to simulate elapsed time or damage; `$1` in `sql` is the id.
    ///
    /// # Panics
    /// When the statement does not change exactly one row.
    pub async fn change(&self, sql: &'static str, id: Uuid) {
        let done = sqlx::query(sql).bind(id).execute(&self.sql).await.unwrap();
        assert_eq!(done.rows_affected(), 1, "{sql}");
    }

    /// Makes every delayed job of a lane due now.
    ///
    /// # Panics
    /// When Redis is unreachable.
    pub async fn make_due(&self, lane: Lane) {
        self.redis.make_due(lane).await;
        self.queue.wake_one().await.unwrap();
    }

    /// Expires every lease of a lane, as if its worker had stopped renewing it.
    ///
    /// # Panics
    /// When Redis is unreachable.
    pub async fn expire_leases(&self, lane: Lane) {
        self.redis.expire_leases(lane).await;
        self.queue.wake_one().await.unwrap();
    }

    /// Returns the dependencies of the scheduler's steps.
    pub fn scheduler_parts(&self) -> scheduler::Parts {
        scheduler::Parts {
            store: self.store.clone(),
            queue: self.queue.clone(),
            installations: self.installations(),
            audit_keys: github::audit_keys(),
            event_sinks: scheduler::events::EventSinks::none(),
            enforcement: self.choices.enforcement,
            default_groups: self.choices.default_groups(),
            registration_tokens: self.choices.registration_tokens,
            sync: self.choices.watch(),
            steps: scheduler::StepReports::default(),
            progress: LoopMonitor::new(),
        }
    }

    /// Keeps a process running until the world is dropped.
    ///
    /// # Panics
    /// Never in practice.
    pub fn keep_running(&self, process: Process) {
        self.parts.lock().unwrap().push(process);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Ok(parts) = self.parts.get_mut() {
            parts.clear();
        }
        self.api = None;
        if std::thread::panicking() {
            let name = self.database.name();
            // A closed stderr cannot be reported anywhere.
            let _ = writeln!(std::io::stderr(), "{}\nthe database {name} was kept", logs::tail(80));
            return;
        }
        if let Some(folder) = self.folder.get() {
            // A left-over temporary folder does no harm.
            let _ = std::fs::remove_dir_all(folder);
        }
        if self.servers.are_own() {
            return;
        }
        let (database, redis) = (self.database.clone(), self.redis.clone());
        let clean = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { tokio::join!(database.remove(), redis.flush()) });
        };
        drop(std::thread::spawn(clean).join());
    }
}
