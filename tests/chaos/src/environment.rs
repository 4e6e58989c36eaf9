//! Environment of a run: private servers, proxies in front of them, simulated GitHub and issuer, and the processes.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use dev_issuer::{Algorithm, Issuer, IssuerConfig};
use devstack::Stack;
use github_twin::{Bucket, Fault, FaultKind, Limits, Twin, TwinConfig, WebhookConfig};
use queue::{Queue, QueueConfig};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{
    action::{Backing, Role},
    log::Log,
    people::{self, Person, Settled, Team},
    plan::{APIS, Plan, SCHEDULERS, WORKERS},
    processes::{Recipe, Slot},
    proxy::Proxy,
    standby::Standby,
};

/// Database of a run.
const DATABASE: &str = "chaos";
/// Socket of the first Redis, in the servers' folder.
const REDIS_SOCKET: &str = "redis.sock";
/// Audience of the tokens.
const AUDIENCE: &str = "runner-tokens";
/// Usual duration of a JIT config call: long enough that a kill finds jobs running.
const GITHUB_LATENCY: Duration = Duration::from_secs(1);
/// GitHub's hourly window during the faults: so small and short that it is exhausted, learned, lost and renewed many
/// times in a run.
const NARROW_WINDOW: Bucket = Bucket::new(110, 20);
/// Ledger entries kept per operation, enough to keep all.
const LEDGER_EACH: usize = 50;
/// Secret that signs webhooks.
const WEBHOOK_SECRET: &str = "signed-by-the-twin-alone";
/// Longest time until every process responds.
const MAX_START_TIME: Duration = Duration::from_mins(4);

/// All servers and processes of a run. Dropping it ends every process.
pub(crate) struct Environment {
    pub(crate) slots: Vec<Slot>,
    pub(crate) proxies: [Proxy; 2],
    pub(crate) twin: Twin,
    /// Direct connection to the rows, past the proxy.
    pub(crate) sql: PgPool,
    pub(crate) redis: redis::Client,
    pub(crate) client: reqwest::Client,
    pub(crate) teams: Vec<Team>,
    pub(crate) people: Vec<Person>,
    pub(crate) root: Person,
    pub(crate) abuser: Person,
    /// Whether GitHub sends webhooks.
    pub(crate) has_webhooks: bool,
    pub(crate) canary: String,
    pub(crate) log: Log,
    pub(crate) standby: Standby,
    stack: Mutex<Stack>,
    servers: PathBuf,
    _issuer: Issuer,
}

impl Environment {
    /// Starts everything and waits until it responds.
    pub(crate) async fn build(plan: &Plan, program: PathBuf, folder: &Path) -> anyhow::Result<Arc<Self>> {
        let log = Log::create(&folder.join("events.log"))?;
        let stack = tokio::task::spawn_blocking({
            let plan = plan.clone();
            move || start_servers(plan)
        })
        .await??;
        let servers = stack.dir().to_path_buf();
        let direct = stack.database_url(DATABASE);
        let proxies = [
            Proxy::start(servers.join(".s.PGSQL.5432")).await?,
            Proxy::start(servers.join(REDIS_SOCKET)).await?,
        ];
        // GitHub knows one webhook address; lost deliveries are requested again or noticed otherwise.
        let hooked = free_port()?;
        let config = twin_config(plan, hooked);
        let canary = config.canary.clone();
        let twin = Twin::start(config).await?;
        twin.fault(slow());
        let issuer = Issuer::start(issuer_config()).await?;
        let sql = PgPoolOptions::new()
            .max_connections(6)
            .acquire_timeout(Duration::from_mins(1))
            .connect_lazy_with(PgConnectOptions::from_str(&direct)?);
        let settings = settings(&direct, &proxies, (&twin, &issuer), (plan, folder))?;
        init_db(&program, &settings, folder).await?;
        let slots = slots(&program, &settings, folder, hooked)?;
        let Settled { teams, people, root, abuser } = people::settle(&sql, &issuer, plan).await?;
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_mins(1)).build()?;
        let redis = redis::Client::open(stack.redis_url(0))?;
        let ports = [free_port()?, free_port()?];
        let standby = Standby::start(&servers.join("redis-server"), folder, ports, plan.clocks.redis)?;
        plan.clocks.check(&sql, &redis).await?;
        let environment = Self {
            slots,
            proxies,
            twin,
            sql,
            redis,
            client,
            teams,
            people,
            root,
            abuser,
            canary,
            has_webhooks: plan.webhooks,
            log,
            standby,
            stack: Mutex::new(stack),
            servers,
            _issuer: issuer,
        };
        for slot in &environment.slots {
            slot.start()?;
        }
        tokio::time::timeout(MAX_START_TIME, environment.ready())
            .await
            .context("the service does not get ready")??;
        Ok(Arc::new(environment))
    }

    /// Returns the processes of one kind.
    pub(crate) fn of(&self, role: Role) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(move |slot| slot.recipe.role == role)
    }

    pub(crate) fn proxy(&self, backing: Backing) -> &Proxy {
        match backing {
            Backing::Postgres => &self.proxies[0],
            Backing::Redis => &self.proxies[1],
        }
    }

    /// Returns the base URL of an API, without a trailing slash.
    pub(crate) fn api(&self, nth: usize) -> String {
        let mut apis = self.of(Role::Api).map(|slot| &slot.recipe.address);
        format!("http://{}", apis.nth(nth % APIS).map_or("", String::as_str))
    }

    /// Runs `what` on the servers, on a blocking thread: it may take seconds.
    pub(crate) async fn servers<F>(self: &Arc<Self>, what: F) -> anyhow::Result<()>
    where
        F: FnOnce(&mut Stack) -> Result<(), devstack::Error> + Send + 'static,
    {
        let environment = self.clone();
        let done = move || what(&mut environment.stack.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(tokio::task::spawn_blocking(done).await??)
    }

    /// Returns the queue, past the proxy.
    pub(crate) fn queue(&self) -> anyhow::Result<Queue> {
        let address = self.redis.get_connection_info().addr().to_string();
        Ok(Queue::connect(&QueueConfig::new(format!("redis+unix://{address}"), "rts"))?)
    }

    /// Returns the socket of the first Redis.
    pub(crate) fn redis_socket(&self) -> PathBuf {
        self.servers.join(REDIS_SOCKET)
    }

    /// Returns the log files of processes and servers.
    pub(crate) fn logs(&self) -> Vec<PathBuf> {
        let mut logs: Vec<_> = self.slots.iter().map(Slot::log).collect();
        logs.extend(["postgres.log", "redis.log"].map(|name| self.servers.join(name)));
        logs
    }

    /// Removes all faults of GitHub.
    pub(crate) fn good_day(&self) {
        self.twin.clear_faults();
        self.twin.fault(slow());
    }

    /// Removes all faults of GitHub and resets its windows to GitHub's real sizes.
    pub(crate) fn relief(&self) {
        self.good_day();
        self.twin.control().set_limits(Limits::github());
    }

    async fn ready(&self) -> anyhow::Result<()> {
        for slot in &self.slots {
            let path = if slot.recipe.role == Role::Api { "health/ready" } else { "health/live" };
            let url = format!("http://{}/{path}", slot.recipe.address);
            while !self.client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                anyhow::ensure!(slot.surprises().is_empty(), "{} does not start", slot.name());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }
}

fn start_servers(plan: Plan) -> Result<Stack, devstack::Error> {
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/devstack");
    let seed_cache = fs::create_dir_all(&cache).is_ok().then_some(cache);
    let (pg_bin, redis_bin) = (plan.pg_bin, plan.redis_bin);
    let clocks = plan.clocks.wrong();
    let options = devstack::Options { pg_bin, redis_bin, seed_cache, clocks, ..devstack::Options::default() };
    let stack = Stack::start(&options)?;
    stack.execute("postgres", &format!("CREATE DATABASE {DATABASE}"))?;
    Ok(stack)
}

/// Creates the tables as an operator would.
async fn init_db(program: &Path, settings: &Settings, folder: &Path) -> anyhow::Result<()> {
    let mut command = tokio::process::Command::new(program);
    command.arg("init-db").env_clear().envs(settings.iter().cloned()).current_dir(folder).kill_on_drop(true);
    let output = command.stdin(Stdio::null()).output().await.context("cannot run rts init-db")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    anyhow::ensure!(output.status.success(), "rts init-db failed: {said}");
    Ok(())
}

/// Returns GitHub's configuration with a shorter hourly window: a run cannot wait for the end of an hour.
fn twin_config(plan: &Plan, hooked: u16) -> TwinConfig {
    let limits = Limits { primary: Some(NARROW_WINDOW), ..Limits::github() };
    let webhook =
        WebhookConfig::new(format!("http://127.0.0.1:{hooked}/api/v1/webhooks/github"), WEBHOOK_SECRET);
    let config = TwinConfig { limits, webhook: plan.webhooks.then_some(webhook), ..TwinConfig::default() };
    let ledger_capacity = config.ledger_capacity.max(plan.operations.saturating_mul(LEDGER_EACH));
    TwinConfig { ledger_capacity, ..config }
}

fn slow() -> Fault {
    let ms = u64::try_from(GITHUB_LATENCY.as_millis()).unwrap_or(1000);
    Fault::new(FaultKind::Latency { ms }).on("POST", "generate-jitconfig")
}

fn issuer_config() -> IssuerConfig {
    IssuerConfig {
        audience: AUDIENCE.to_owned(),
        algorithms: vec![Algorithm::ES256],
        life: Duration::from_hours(12),
        ..IssuerConfig::default()
    }
}

type Settings = Vec<(String, String)>;

/// Returns the settings of every process.
fn settings(
    direct: &str,
    [postgres, redis]: &[Proxy; 2],
    (twin, issuer): (&Twin, &Issuer),
    (plan, folder): (&Plan, &Path),
) -> anyhow::Result<Settings> {
    let user = direct.split(['/', '@']).nth(2).context("an address without a user")?;
    let key = folder.join("app-key.pem");
    let pem = twin.app_key().context("the twin has no key")?.private_pem().to_owned();
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&key)?.write_all(pem.as_bytes())?;
    let config = TwinConfig::default();
    let pairs = [
        ("PATH", "/usr/bin:/bin".to_owned()),
        (
            "DATABASE_URL",
            format!("postgres://{user}@127.0.0.1:{}/{DATABASE}?sslmode=disable", postgres.port()),
        ),
        ("DATABASE_MAX_CONNECTIONS", "10".to_owned()),
        ("REDIS_URL", format!("redis://127.0.0.1:{}/0", redis.port())),
        ("GITHUB_APP_ID", config.app_id.to_string()),
        ("GITHUB_APP_INSTALLATION_ID", config.installation_id.to_string()),
        ("GITHUB_APP_PRIVATE_KEY_PATH", key.display().to_string()),
        ("GITHUB_ORG", config.org),
        ("GITHUB_API_URL", twin.url().to_owned()),
        ("GITHUB_WEBHOOK_SECRET", WEBHOOK_SECRET.to_owned()),
        ("SYNC_INTERVAL_SECONDS", "10".to_owned()),
        ("OIDC_ISSUER", issuer.url().to_owned()),
        ("OIDC_AUDIENCE", AUDIENCE.to_owned()),
        ("CREDENTIAL_KEYS", format!("chaos:{}", STANDARD.encode(rand::random::<[u8; 32]>()))),
        ("API_RATE_LIMIT_PER_MINUTE", "1000000".to_owned()),
        ("API_RATE_LIMIT_BURST", "100000".to_owned()),
        ("WORKER_LEASE_SECONDS", plan.lease.as_secs().to_string()),
        (
            "LOG_LEVEL",
            "info,api=debug,worker=debug,scheduler=debug,queue=debug,github=debug,store=debug".to_owned(),
        ),
        ("LOG_FORMAT", "json".to_owned()),
    ];
    Ok(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn slots(program: &Path, settings: &Settings, folder: &Path, hooked: u16) -> anyhow::Result<Vec<Slot>> {
    let mut slots = Vec::new();
    for (role, count) in [(Role::Api, APIS), (Role::Worker, WORKERS), (Role::Scheduler, SCHEDULERS)] {
        for which in 0..count {
            let is_hooked = role == Role::Api && which == 0;
            let port = if is_hooked { hooked } else { free_port()? };
            let address = format!("127.0.0.1:{port}");
            let mut arguments = vec![role.word().to_owned()];
            let mut settings = settings.clone();
            if role == Role::Api {
                settings.push(("SERVICE_PORT".to_owned(), port.to_string()));
            } else {
                arguments.extend(["--listen".to_owned(), address.clone()]);
                let keys = rand::random::<[u8; 32]>();
                settings.push(("TOKEN_KEYS".to_owned(), format!("chaos:{}", STANDARD.encode(keys))));
            }
            let (program, folder) = (program.to_path_buf(), folder.to_path_buf());
            slots.push(Slot::new(Recipe { role, which, program, arguments, settings, folder, address }));
        }
    }
    Ok(slots)
}

/// Returns a free port that no outgoing connection takes while its process is down.
fn free_port() -> anyhow::Result<u16> {
    devstack::free_port().context("no port is free")
}
