//! Environment of the benchmark: private servers, a GitHub twin, an issuer, and deployments of the service in it.

use std::{
    fs::OpenOptions,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use dev_issuer::{Issuer, IssuerConfig, Person};
use devstack::{Options, Server, ServerPrograms, Stack};
use domain::{InstallationId, Secret, TeamId, UserId};
use github_twin::{Limits, MoreApp, Twin, TwinConfig};
use queue::{BudgetSettings, Queue, QueueConfig};
use sqlx::PgConnection;
use store::{Store, TeamDraft, UserDraft};

use crate::{process::ServiceProcess, webhooks};

/// Teams of a deployment, each with one person who requests runners.
const TEAMS: usize = 8;
/// Audience of the callers' tokens.
const AUDIENCE: &str = "runner-tokens";

/// Further Apps of the twin's organisation.
const FURTHER_APPS: u64 = 3;

/// Returns a further App of the twin, by its number from 1.
pub(crate) fn further_app(number: u64) -> MoreApp {
    MoreApp {
        app_id: 430_000 + number,
        slug: format!("app-{number}"),
        installation_id: 5_200_000 + number,
        org: TwinConfig::default().org,
    }
}

/// Servers and fakes that all deployments share.
pub(crate) struct Environment {
    stack: Mutex<Stack>,
    dir: PathBuf,
    pub(crate) twin: Twin,
    issuer: Issuer,
    key: PathBuf,
    choices: Choices,
}

/// What the caller brought.
pub(crate) struct Choices {
    /// Database for the rows of a large installation, on another server; `None` for a new one on the private server.
    pub(crate) large_database: Option<String>,
    /// The users' program; `None` for this program.
    pub(crate) client_program: Option<PathBuf>,
}

/// A deployment of the service with a database and a Redis database of its own.
pub(crate) struct Deployment<'e> {
    environment: &'e Environment,
    pub(crate) database: String,
    pub(crate) database_url: String,
    redis: u16,
    keys: String,
    token_keys: String,
}

impl Environment {
    /// Starts the servers, which write to disk, the twin without limits, and the issuer.
    pub(crate) async fn start(programs: &ServerPrograms, choices: Choices) -> anyhow::Result<Self> {
        let options = Options { durable: true, ..programs.options(None) };
        let stack = tokio::task::spawn_blocking(move || Stack::start(&options)).await??;
        let twin = Twin::start(TwinConfig {
            limits: Limits::off(),
            ledger_capacity: 100,
            more_apps: (1..=FURTHER_APPS).map(further_app).collect(),
            ..TwinConfig::default()
        });
        let twin = twin.await?;
        let people = (1..=TEAMS).map(name).map(person).collect();
        let audience = AUDIENCE.to_owned();
        // A run must not outlive its tokens.
        let life = Duration::from_hours(12);
        let issuer =
            Issuer::start(IssuerConfig { people, audience, life, ..IssuerConfig::default() }).await?;
        let dir = stack.dir().to_owned();
        let key = dir.join("github-app.pem");
        let pem = twin.app_key().context("the twin has no key")?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&key)?;
        file.write_all(pem.private_pem().as_bytes())?;
        Ok(Self { stack: Mutex::new(stack), dir, twin, issuer, key, choices })
    }

    /// Returns a deployment with an empty database of this name and the Redis database of this number.
    pub(crate) fn deployment(&self, database: &str, redis: u16) -> anyhow::Result<Deployment<'_>> {
        tokio::task::block_in_place(|| {
            self.stack().execute("postgres", &format!("CREATE DATABASE {database}"))
        })?;
        Ok(self.deployment_on(self.database_url(database), database, redis))
    }

    /// Returns the deployment with the rows of a large installation, or with an empty database for them.
    pub(crate) fn large_deployment(&self) -> anyhow::Result<Deployment<'_>> {
        match &self.choices.large_database {
            Some(url) => Ok(self.deployment_on(url.clone(), "large", 14)),
            None => self.deployment("large", 14),
        }
    }

    fn deployment_on(&self, database_url: String, database: &str, redis: u16) -> Deployment<'_> {
        let keys = format!("bench:{}", STANDARD.encode(rand::random::<[u8; 32]>()));
        let token_keys = format!("bench:{}", STANDARD.encode(rand::random::<[u8; 32]>()));
        Deployment { environment: self, database: database.to_owned(), database_url, redis, keys, token_keys }
    }

    /// Returns a queue without GitHub's limits, like the twin.
    pub(crate) async fn queue_without_limits(&self, redis: u16, namespace: &str) -> anyhow::Result<Queue> {
        let queue = Queue::connect(&QueueConfig::new(self.redis_url(redis), namespace))?;
        let unlimited = BudgetSettings { enabled: false, ..BudgetSettings::default() };
        queue.set_budget(&InstallationId::default(), &unlimited).await?;
        Ok(queue)
    }

    /// Returns the URL of a PostgreSQL database.
    pub(crate) fn database_url(&self, database: &str) -> String {
        self.stack().database_url(database)
    }

    /// Returns the URL of a Redis database.
    pub(crate) fn redis_url(&self, number: u16) -> String {
        self.stack().redis_url(number)
    }

    /// Returns the path of the users' program.
    pub(crate) fn client_program(&self) -> anyhow::Result<PathBuf> {
        match &self.choices.client_program {
            Some(path) => Ok(std::path::absolute(path)?),
            None => Ok(std::env::current_exe()?),
        }
    }

    /// Returns the folder with logs and sockets.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Kills or restarts the Redis server. Blocks for up to some seconds.
    pub(crate) fn change_redis<F>(&self, change: F) -> anyhow::Result<()>
    where
        F: FnOnce(&mut Stack, Server) -> Result<(), devstack::Error>,
    {
        Ok(tokio::task::block_in_place(|| change(&mut self.stack(), Server::Redis))?)
    }

    /// Stops the servers.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        let stack = self.stack.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(tokio::task::spawn_blocking(move || stack.stop()).await??)
    }

    fn stack(&self) -> MutexGuard<'_, Stack> {
        self.stack.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deployment<'_> {
    fn env(&self) -> Vec<(&'static str, String)> {
        let config = TwinConfig::default();
        vec![
            ("DATABASE_URL", self.database_url.clone()),
            ("REDIS_URL", self.environment.redis_url(self.redis)),
            ("GITHUB_API_URL", self.environment.twin.url().to_owned()),
            ("GITHUB_ORG", config.org),
            ("OIDC_ISSUER", self.environment.issuer.url().to_owned()),
            ("OIDC_AUDIENCE", AUDIENCE.to_owned()),
            ("CREDENTIAL_KEYS", self.keys.clone()),
            ("SERVICE_PORT", "0".to_owned()),
            ("GITHUB_WEBHOOK_SECRET", webhooks::SECRET.to_owned()),
            ("API_RATE_LIMIT_PER_MINUTE", "1000000".to_owned()),
            ("API_RATE_LIMIT_BURST", "100000".to_owned()),
            // All callers have one address here, and one caller may have many waiting requests.
            ("API_CONNECTIONS_PER_ADDRESS", "10000".to_owned()),
            ("API_WAITS_PER_CALLER", "10000".to_owned()),
            ("LOG_FORMAT", "json".to_owned()),
        ]
    }

    /// Starts `rts api`, which creates the tables, and waits until it listens.
    pub(crate) async fn start_api(&self) -> anyhow::Result<ServiceProcess> {
        self.start_api_with(&[]).await
    }

    /// Starts `rts api` with further settings, and waits until it listens.
    pub(crate) async fn start_api_with(
        &self,
        settings: &[(&'static str, &str)],
    ) -> anyhow::Result<ServiceProcess> {
        let mut env = self.env();
        env.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let mut process = ServiceProcess::start("api", &["api"], &env, self.environment.dir())?;
        process.address().await?;
        Ok(process)
    }

    /// Starts `rts worker`.
    pub(crate) fn start_worker(&self) -> anyhow::Result<ServiceProcess> {
        ServiceProcess::start("worker", &["worker"], &self.github_env(), self.environment.dir())
    }

    /// Starts `rts scheduler`.
    pub(crate) fn start_scheduler(&self) -> anyhow::Result<ServiceProcess> {
        ServiceProcess::start("scheduler", &["scheduler"], &self.github_env(), self.environment.dir())
    }

    fn github_env(&self) -> Vec<(&'static str, String)> {
        let config = TwinConfig::default();
        let mut env = self.env();
        env.push(("TOKEN_KEYS", self.token_keys.clone()));
        env.push(("GITHUB_APP_ID", config.app_id.to_string()));
        env.push(("GITHUB_APP_INSTALLATION_ID", config.installation_id.to_string()));
        // With GitHub's limits, the figures would be those of the limits.
        env.push(("GITHUB_RATE_LIMITS", "false".to_owned()));
        env.push(("GITHUB_APP_PRIVATE_KEY_PATH", self.environment.key.display().to_string()));
        env
    }

    /// Creates the teams and their members in an empty database that has its tables. Returns a token of each member.
    pub(crate) async fn create_callers(&self) -> anyhow::Result<Vec<String>> {
        let store = Store::new(&Secret::new(self.database_url.as_str()), 2)?;
        let issuer = &self.environment.issuer;
        let mut tokens = Vec::new();
        for name in (1..=TEAMS).map(name) {
            let draft = UserDraft {
                issuer: Some(issuer.url().to_owned()),
                subject: Some(name.clone()),
                can_use_jit: true,
                ..UserDraft::default()
            };
            let (team, user) = (TeamId::new(), UserId::new());
            let mut connection = store.conn().await?;
            connection.teams().insert(team, &team_draft(&name)).await?;
            connection.users().insert(user, &draft).await?;
            connection.teams().add_member(team, user).await?;
            tokens.push(issuer.person_token(&name)?);
        }
        store.close().await;
        Ok(tokens)
    }

    /// Takes over the teams and members that an earlier run made, whose issuer has ended. Returns a token of each member.
    pub(crate) async fn take_over_callers(&self, postgres: &mut PgConnection) -> anyhow::Result<Vec<String>> {
        let issuer = &self.environment.issuer;
        sqlx::query("UPDATE users SET issuer = $1 WHERE subject LIKE 'bench-%'")
            .bind(issuer.url())
            .execute(postgres)
            .await?;
        (1..=TEAMS).map(|n| Ok(issuer.person_token(&name(n))?)).collect()
    }

    /// Returns the address of the issuer of its callers.
    pub(crate) fn issuer_url(&self) -> &str {
        self.environment.issuer.url()
    }

    /// Returns the queue of the deployment and turns GitHub's limits off in it.
    pub(crate) async fn queue_without_limits(&self) -> anyhow::Result<Queue> {
        self.environment.queue_without_limits(self.redis, "rts").await
    }

    /// Returns the queue of the deployment with the budget settings that its processes have stored.
    pub(crate) fn queue(&self) -> anyhow::Result<Queue> {
        Ok(Queue::connect(&QueueConfig::new(self.redis_url(), "rts"))?)
    }

    /// Returns the key that seals configs, in base64.
    pub(crate) fn credential_key(&self) -> &str {
        self.keys.trim_start_matches("bench:")
    }

    /// Returns the environment of the deployment.
    pub(crate) fn environment(&self) -> &Environment {
        self.environment
    }

    /// Returns the URL of its Redis database.
    pub(crate) fn redis_url(&self) -> String {
        self.environment.redis_url(self.redis)
    }
}

fn name(n: usize) -> String {
    format!("bench-{n}")
}

fn person(name: String) -> Person {
    Person { email: format!("{name}@example.com"), sub: name.clone(), name }
}

/// Returns a team without quota that may use the labels of the benchmark's requests.
fn team_draft(name: &str) -> TeamDraft {
    TeamDraft {
        required_labels: vec![name.to_owned()],
        optional_label_patterns: vec!["glob:gpu-*".to_owned()],
        ..TeamDraft::new(name)
    }
}
