//! The world of one test.

use std::{
    collections::BTreeMap,
    io::Write,
    path::PathBuf,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use api::ConnectionLimits;
use chrono::TimeDelta;
use domain::{InstallationId, KeyRing, Lane, Secret};
use github::{Credential, GitHubSettings, KeySource, Scope, Timeouts, TokenSource};
use github_twin::{Issuer, Twin};
use installations::{Installation, Installations};
use oidc::{HttpSettings, TrustedIssuer, Verifier};
use queue::{Announcements, Queue};
use runtime::{
    Clock, FixedClock,
    config::{IssuerPolicy, ServerConfig, WebhookSecret},
    health::LoopMonitor,
    shutdown::Shutdown,
};
use sqlx::PgPool;
use store::Store;
use tokio::net::TcpListener;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{Builder, Database, Process, RedisNamespace, logs, servers::Servers, telemetry};

/// Life of a config that nobody fetches.
const CONFIG_LIFE: TimeDelta = TimeDelta::minutes(60);
/// What configs are sealed with: any 32 bytes that are not all the same.
pub const CREDENTIAL_KEY: &[u8; 32] = b"a key that only tests ever use..";
/// What the GitHub token that workers and schedulers share is sealed with.
pub const TOKEN_KEY: &[u8; 32] = b"another key that only tests use.";

/// Everything there is for one test. Dropping it stops all of it.
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
    /// GitHub.
    pub twin: Twin,
    /// The trusted issuers.
    pub issuers: Vec<Issuer>,
    /// The clock by which the API judges tokens and the age of keys; it stands still unless moved.
    pub clock: FixedClock,
    watch: Clock,
    api: Option<Process>,
    parts: Mutex<Vec<Process>>,
    installations: OnceLock<Installations>,
    made: AtomicUsize,
    /// Last, so that whatever uses them is gone before they are.
    pub(crate) servers: Servers,
}

impl World {
    /// One worker, no scheduler.
    ///
    /// # Panics
    /// When any part of it does not start.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Choices.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) async fn build(choices: Builder) -> Self {
        logs::keep_usual();
        let mut servers =
            if choices.own_servers { Servers::own(choices.clocks.clone()).await } else { Servers::shared() };
        if let Some(layout) = choices.redis {
            servers.take_group(layout).await;
        }
        let (database, corner) =
            (crate::database::copy_on(&servers.postgres).await, RedisNamespace::on(&servers.redis));
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
            queue: corner.queue(),
            url,
            choices,
            folder: OnceLock::new(),
            database,
            redis: corner,
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
            world.keep(worker);
        }
        if world.choices.scheduler {
            let scheduler = world.start_scheduler();
            world.keep(scheduler);
        }
        world
    }

    /// Where the API is, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The first trusted issuer.
    pub fn issuer(&self) -> &Issuer {
        &self.issuers[0]
    }

    /// The rows, through a store of the service.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The rows, as they are, for their owner.
    pub fn sql(&self) -> &PgPool {
        &self.sql
    }

    /// The queue.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Redis as it is.
    pub fn redis(&self) -> &RedisNamespace {
        &self.redis
    }

    /// Where the rows are.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// The text in every secret part of a JIT config.
    pub fn canary(&self) -> &str {
        &self.choices.twin.canary
    }

    /// Counts rows: `sql` is one `SELECT count(*)`.
    ///
    /// # Panics
    /// When it is not.
    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.sql).await.unwrap()
    }

    /// Reads one text about one row: `$1` is the id.
    ///
    /// # Panics
    /// When there is no such row.
    pub async fn text(&self, sql: &'static str, id: Uuid) -> String {
        sqlx::query_scalar(sql).bind(id).fetch_one(&self.sql).await.unwrap()
    }

    /// Changes one row, as time or an accident would: `$1` is the id.
    ///
    /// # Panics
    /// When it was not exactly one.
    pub async fn change(&self, sql: &'static str, id: Uuid) {
        let done = sqlx::query(sql).bind(id).execute(&self.sql).await.unwrap();
        assert_eq!(done.rows_affected(), 1, "{sql}");
    }

    /// Lets every delayed job of a lane start now, as time would.
    ///
    /// # Panics
    /// When Redis is away.
    pub async fn make_due(&self, lane: Lane) {
        self.redis.make_due(lane).await;
        self.queue.wake_one().await.unwrap();
    }

    /// Lets every lease of a lane run out, as time would when nobody renews it.
    ///
    /// # Panics
    /// When Redis is away.
    pub async fn expire_leases(&self, lane: Lane) {
        self.redis.expire_leases(lane).await;
        self.queue.wake_one().await.unwrap();
    }

    /// What the steps of the scheduler take.
    pub fn scheduling(&self) -> scheduler::Parts {
        scheduler::Parts {
            store: self.store.clone(),
            queue: self.queue.clone(),
            installations: self.installations(),
            enforcement: self.choices.enforcement,
            sync: self.choices.watch(),
            progress: LoopMonitor::new(),
        }
    }

    fn installations(&self) -> Installations {
        let make = || Installations::new(&self.queue, &token_keys(), self.installation_settings());
        self.installations.get_or_init(|| make().unwrap()).clone()
    }

    /// Starts one more worker.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_worker(&self) -> Process {
        self.start_worker_for(|_| true)
    }

    /// The same with the credentials of some installations only.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_worker_for(&self, knows: impl Fn(&str) -> bool) -> Process {
        let name = format!("worker-{}", self.made.fetch_add(1, Ordering::Relaxed));
        let (database, corner, mut installations) =
            (self.database.clone(), self.redis.clone(), self.installation_settings());
        installations.retain(|one| knows(one.id.as_str()));
        let (concurrency, lease, drift) = (self.choices.concurrency, self.choices.lease, self.choices.drift);
        let (called, primed, patience) = (name.clone(), self.choices.primed, self.choices.patience);
        Process::start(&name, move |shutdown| async move {
            let queue = corner.queue();
            let fleet = Installations::new(&queue, &token_keys(), installations)?;
            if primed {
                fleet.fetch_rate_limits(&queue).await;
            }
            let parts = worker::Parts {
                store: database.service_store(8),
                queue,
                installations: fleet,
                keys: keys(),
                config_life: CONFIG_LIFE,
                drift,
                concurrency,
                lease,
                timeouts: patience,
                name: called,
                progress: LoopMonitor::new(),
            };
            worker::run(parts, shutdown).await
        })
    }

    /// Starts a scheduler.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_scheduler(&self) -> Process {
        let (database, corner, installations) =
            (self.database.clone(), self.redis.clone(), self.installation_settings());
        let (enforcement, watch) = (self.choices.enforcement, self.choices.watch());
        Process::start("scheduler", move |shutdown| async move {
            let queue = corner.queue();
            let parts = scheduler::Parts {
                store: database.service_store(3),
                installations: Installations::new(&queue, &token_keys(), installations)?,
                queue,
                enforcement,
                sync: watch,
                progress: LoopMonitor::new(),
            };
            scheduler::run(parts, shutdown).await
        })
    }

    /// Lets a process live as long as the world.
    ///
    /// # Panics
    /// Never in practice.
    pub fn keep(&self, process: Process) {
        self.parts.lock().unwrap().push(process);
    }

    /// How the service is told to speak to this world's GitHub.
    ///
    /// # Panics
    /// Never in practice.
    pub fn github(&self) -> GitHubSettings {
        let scope = Scope::Org(self.choices.twin.org.clone());
        self.github_settings(scope, self.app_of(self.choices.twin.installation_id))
    }

    fn github_settings(&self, scope: Scope, credential: Credential) -> GitHubSettings {
        let mut settings = GitHubSettings::new(self.twin.url().parse().unwrap(), scope, credential);
        settings.timeouts = Timeouts { total: self.choices.github_patience, ..settings.timeouts };
        settings
    }

    fn app_of(&self, installation_id: u64) -> Credential {
        let key = self.twin.app_key().unwrap().private_pem();
        let (app_id, private_key) = (self.choices.twin.app_id.to_string(), KeySource::Pem(Secret::new(key)));
        Credential::App { app_id, installation_id, private_key }
    }

    fn installation_settings(&self) -> Vec<Installation> {
        let budget = &self.choices.budget;
        let default =
            Installation { id: InstallationId::default(), github: self.github(), budget: budget.clone() };
        let more = self.choices.more.iter().map(|more| {
            let credential = match (&more.token, &more.scope) {
                (Some(token), _) => Credential::Pat(TokenSource::Text(Secret::new(token.as_str()))),
                (None, Scope::Org(org)) => self.app_of(self.github_id(org)),
                (None, scope) => panic!("the twin's App is not installed in {scope:?}"),
            };
            let github = self.github_settings(more.scope.clone(), credential);
            Installation { id: more.id.parse().unwrap(), github, budget: budget.clone() }
        });
        std::iter::once(default).chain(more).collect()
    }

    fn github_id(&self, org: &str) -> u64 {
        let known = self.choices.twin.more_installations.iter().find(|(_, login)| login == org);
        known.expect("an installation of the twin").0
    }

    fn start_api(&self, listener: std::net::TcpListener) -> Process {
        let (database, corner, watch) = (self.database.clone(), self.redis.clone(), self.watch.clone());
        let issuers: Vec<_> =
            self.issuers.iter().enumerate().map(|(nth, issuer)| trusted(nth, issuer)).collect();
        let (installations, secrets) = (self.choices.default_groups(), self.choices.webhook_secrets());
        let tokens = self.choices.registration_tokens;
        let server = self.choices.server();
        let limits = ConnectionLimits {
            per_address: usize::try_from(server.guards.connections_per_address.get()).unwrap(),
            trusted: server.trusted_proxies.clone(),
            ..ConnectionLimits::default()
        };
        Process::start("api", move |shutdown| async move {
            let listener = TcpListener::from_std(listener)?;
            let verifier = Verifier::new(issuers.clone(), &HttpSettings::default(), watch)?;
            let app = app(
                (&database, &corner),
                (verifier, &issuers),
                (installations, secrets, tokens, server),
                &shutdown,
            );
            tokio::spawn(api::upkeep(app.clone()));
            Ok(api::serve_within(listener, api::router(app), shutdown.draining().clone(), limits).await?)
        })
    }
}

fn trusted(nth: usize, issuer: &Issuer) -> TrustedIssuer {
    TrustedIssuer {
        issuer: issuer.url().to_owned(),
        audiences: vec!["runner-tokens".to_owned()],
        jwks_url: None,
        name: format!("issuer-{nth}"),
        policy: IssuerPolicy { binds_people: (nth == 0).then_some(true), ..IssuerPolicy::default() },
    }
}

fn keys() -> KeyRing {
    KeyRing::new(&[("test".to_owned(), Zeroizing::new(CREDENTIAL_KEY.to_vec()))]).unwrap()
}

fn token_keys() -> KeyRing {
    KeyRing::new(&[("tokens".to_owned(), Zeroizing::new(TOKEN_KEY.to_vec()))]).unwrap()
}

fn app(
    (database, corner): (&Database, &RedisNamespace),
    (verifier, issuers): (Verifier, &[TrustedIssuer]),
    (installations, webhook_secrets, registration_tokens, server): (
        BTreeMap<InstallationId, i64>,
        Vec<WebhookSecret>,
        bool,
        ServerConfig,
    ),
    shutdown: &Shutdown,
) -> api::AppState {
    let queue = corner.queue();
    api::AppState::new(api::Dependencies {
        store: database.service_store(10),
        announcements: Announcements::start(&queue),
        queue,
        default_issuer: issuers.first().map(|first| first.issuer.clone()).unwrap_or_default(),
        verifier,
        keys: keys(),
        server,
        web_urls: installations.keys().map(|id| (id.clone(), format!("https://github.test/{id}"))).collect(),
        registration_tokens,
        installations,
        webhook_secrets,
        config_life: CONFIG_LIFE,
        metrics: telemetry::metrics(),
        progress: LoopMonitor::new(),
        draining: shutdown.draining().clone(),
    })
}

impl Drop for World {
    fn drop(&mut self) {
        if let Ok(parts) = self.parts.get_mut() {
            parts.clear();
        }
        self.api = None;
        if std::thread::panicking() {
            let name = self.database.name();
            // Nothing can be done about a closed stderr.
            let _ = writeln!(std::io::stderr(), "{}\nthe database {name} was kept", logs::tail(80));
            return;
        }
        if let Some(folder) = self.folder.get() {
            // Nothing depends on it.
            let _ = std::fs::remove_dir_all(folder);
        }
        if self.servers.are_own() {
            return;
        }
        let (database, corner) = (self.database.clone(), self.redis.clone());
        let clean = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { tokio::join!(database.remove(), corner.flush()) });
        };
        drop(std::thread::spawn(clean).join());
    }
}
