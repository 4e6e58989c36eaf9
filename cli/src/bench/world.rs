//! Servers, a GitHub and an issuer for the benchmark, and sites in it.

use std::{
    fs::OpenOptions,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use devstack::{Options, Server, Stack};
use domain::{InstallationId, Secret};
use github_twin::{Issuer, IssuerConfig, Limits, Twin, TwinConfig};
use queue::{BudgetSettings, Queue, QueueConfig};
use store::{Store, UserDraft};

use super::part::Part;
use crate::dev::{Programs, demo_users, seed, servers};

/// Teams, each with one person who asks.
const TEAMS: usize = 8;

/// What is shared by all sites.
pub(super) struct World {
    stack: Mutex<Stack>,
    dir: PathBuf,
    pub(super) twin: Twin,
    issuer: Issuer,
    key: PathBuf,
}

/// One installation of the service: a database and a Redis of its own.
pub(super) struct Site<'w> {
    world: &'w World,
    pub(super) database: String,
    redis: u16,
    keys: String,
    token_keys: String,
}

impl World {
    /// Starts the servers (writing to disk), the twin (no limits) and the issuer.
    pub(super) async fn start(programs: &Programs) -> anyhow::Result<Self> {
        let options = Options { durable: true, ..servers::options(programs, None) };
        let stack = tokio::task::spawn_blocking(move || Stack::start(&options)).await??;
        let twin =
            Twin::start(TwinConfig { limits: Limits::off(), ledger_capacity: 100, ..TwinConfig::default() });
        let twin = twin.await?;
        let people = (1..=TEAMS).map(|n| demo_users::person(&name(n), &name(n))).collect();
        let issuer = Issuer::start(IssuerConfig { people, ..demo_users::issuer() }).await?;
        let dir = stack.dir().to_owned();
        let key = dir.join("github-app.pem");
        let pem = twin.app_key().context("the twin has no key")?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&key)?;
        file.write_all(pem.private_pem().as_bytes())?;
        Ok(Self { stack: Mutex::new(stack), dir, twin, issuer, key })
    }

    /// A site with an empty database of this name and this number of Redis's databases.
    pub(super) fn site(&self, database: &str, redis: u16) -> anyhow::Result<Site<'_>> {
        tokio::task::block_in_place(|| {
            self.stack().execute("postgres", &format!("CREATE DATABASE {database}"))
        })?;
        let keys = format!("bench:{}", STANDARD.encode(rand::random::<[u8; 32]>()));
        let token_keys = format!("bench:{}", STANDARD.encode(rand::random::<[u8; 32]>()));
        Ok(Site { world: self, database: database.to_owned(), redis, keys, token_keys })
    }

    /// Returns a queue without limits, like the twin.
    pub(super) async fn queue(&self, redis: u16, namespace: &str) -> anyhow::Result<Queue> {
        let queue = Queue::connect(&QueueConfig::new(self.redis_url(redis), namespace))?;
        let unlimited = BudgetSettings { enabled: false, ..BudgetSettings::default() };
        queue.set_budget(&InstallationId::default(), &unlimited).await?;
        Ok(queue)
    }

    /// Address of a database.
    pub(super) fn database_url(&self, database: &str) -> String {
        self.stack().database_url(database)
    }

    /// Address of one of Redis's databases.
    pub(super) fn redis_url(&self, number: u16) -> String {
        self.stack().redis_url(number)
    }

    /// Where logs and sockets are.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Does something to Redis, which takes up to seconds.
    pub(super) fn redis<F>(&self, what: F) -> anyhow::Result<()>
    where
        F: FnOnce(&mut Stack, Server) -> Result<(), devstack::Error>,
    {
        Ok(tokio::task::block_in_place(|| what(&mut self.stack(), Server::Redis))?)
    }

    /// Stops the servers.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        let stack = self.stack.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(tokio::task::spawn_blocking(move || stack.stop()).await??)
    }

    fn stack(&self) -> MutexGuard<'_, Stack> {
        self.stack.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Site<'_> {
    fn env(&self) -> Vec<(&'static str, String)> {
        let config = TwinConfig::default();
        vec![
            ("DATABASE_URL", self.world.database_url(&self.database)),
            ("REDIS_URL", self.world.redis_url(self.redis)),
            ("GITHUB_API_URL", self.world.twin.url().to_owned()),
            ("GITHUB_ORG", config.org),
            ("OIDC_ISSUER", self.world.issuer.url().to_owned()),
            ("OIDC_AUDIENCE", demo_users::AUDIENCE.to_owned()),
            ("CREDENTIAL_KEYS", self.keys.clone()),
            ("SERVICE_PORT", "0".to_owned()),
            ("GITHUB_WEBHOOK_SECRET", super::webhooks::SECRET.to_owned()),
            ("API_RATE_LIMIT_PER_MINUTE", "1000000".to_owned()),
            ("API_RATE_LIMIT_BURST", "100000".to_owned()),
            // All callers come from one address here, and one waits for many.
            ("API_CONNECTIONS_PER_ADDRESS", "10000".to_owned()),
            ("API_WAITS_PER_CALLER", "10000".to_owned()),
            ("LOG_FORMAT", "json".to_owned()),
        ]
    }

    /// Starts `rts api`, which makes the tables.
    pub(super) async fn api(&self) -> anyhow::Result<Part> {
        let mut part = Part::start("api", &["api"], &self.env(), self.world.dir())?;
        part.address().await?;
        Ok(part)
    }

    /// Starts `rts worker`.
    pub(super) fn worker(&self) -> anyhow::Result<Part> {
        Part::start("worker", &["worker"], &self.github_env(), self.world.dir())
    }

    /// Starts `rts scheduler`.
    pub(super) fn scheduler(&self) -> anyhow::Result<Part> {
        Part::start("scheduler", &["scheduler"], &self.github_env(), self.world.dir())
    }

    fn github_env(&self) -> Vec<(&'static str, String)> {
        let config = TwinConfig::default();
        let mut env = self.env();
        env.push(("TOKEN_KEYS", self.token_keys.clone()));
        env.push(("GITHUB_APP_ID", config.app_id.to_string()));
        env.push(("GITHUB_APP_INSTALLATION_ID", config.installation_id.to_string()));
        // Under GitHub's own limits every figure would be GitHub's.
        env.push(("GITHUB_RATE_LIMITS", "false".to_owned()));
        env.push(("GITHUB_APP_PRIVATE_KEY_PATH", self.world.key.display().to_string()));
        env
    }

    /// Makes the teams and their people, once there are tables; gives back a token of each.
    pub(super) async fn callers(&self) -> anyhow::Result<Vec<String>> {
        let store = Store::new(&Secret::new(self.world.database_url(&self.database)), 2)?;
        let mut tokens = Vec::new();
        for name in (1..=TEAMS).map(name) {
            let team = seed::team(&store, &seed::team_draft(&name)).await?;
            let draft = UserDraft {
                issuer: Some(self.world.issuer.url().to_owned()),
                subject: Some(name.clone()),
                can_use_jit: true,
                ..UserDraft::default()
            };
            let user = seed::person(&store, &draft).await?;
            store.conn().await?.teams().add_member(team, user).await?;
            tokens.push(self.world.issuer.person_token(&name)?);
        }
        store.close().await;
        Ok(tokens)
    }

    /// The site's queue, without GitHub's limits.
    pub(super) async fn queue(&self) -> anyhow::Result<Queue> {
        self.world.queue(self.redis, "rts").await
    }

    /// Returns the site's queue with the budget settings that its processes have stored.
    pub(super) fn spine_only(&self) -> anyhow::Result<Queue> {
        Ok(Queue::connect(&QueueConfig::new(self.redis_url(), "rts"))?)
    }

    /// What configs are sealed with, in base64.
    pub(super) fn key(&self) -> &str {
        self.keys.trim_start_matches("bench:")
    }

    /// Its surroundings.
    pub(super) fn world(&self) -> &World {
        self.world
    }

    /// The address of its Redis database.
    pub(super) fn redis_url(&self) -> String {
        self.world.redis_url(self.redis)
    }
}

fn name(n: usize) -> String {
    format!("bench-{n}")
}
