//! Namespaces of a shared Redis for tests, and private servers for tests that break Redis.

use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use domain::{InstallationId, JobId, Lane, TeamId};
use queue::{BudgetSettings, Claimer, Lease, Queue, QueueConfig, Ticket};
use redis::{FromRedisValue, aio::MultiplexedConnection, cmd};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    task::{JoinHandle, JoinSet},
};
use uuid::Uuid;

/// The queue of one test, in a namespace of its own.
pub(crate) struct TestQueue {
    pub(crate) queue: Queue,
    pub(crate) namespace: String,
    url: String,
}

impl TestQueue {
    /// Returns a queue without limits.
    pub(crate) async fn new() -> Self {
        Self::with_budget(&unlimited()).await
    }

    /// Returns a queue with these limits.
    pub(crate) async fn with_budget(budget: &BudgetSettings) -> Self {
        let test = Self::bare(server_url());
        test.limit(budget).await;
        test
    }

    pub(crate) async fn connect_to(url: String) -> Self {
        let test = Self::bare(url);
        test.limit(&unlimited()).await;
        test
    }

    pub(crate) async fn limit(&self, budget: &BudgetSettings) {
        for name in ["default", "other"] {
            self.queue.set_budget(&name.parse().unwrap(), budget).await.unwrap();
        }
    }

    fn bare(url: String) -> Self {
        let namespace = Uuid::new_v4().to_string();
        let queue = Queue::connect(&QueueConfig::new(url.as_str(), namespace.as_str())).unwrap();
        Self { queue, namespace, url }
    }

    pub(crate) fn key(&self, name: &str) -> String {
        format!("{{{}}}:{name}", self.namespace)
    }

    pub(crate) async fn open_connection(&self) -> MultiplexedConnection {
        redis::Client::open(self.url.as_str()).unwrap().get_multiplexed_async_connection().await.unwrap()
    }

    pub(crate) async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut connection = self.open_connection().await;
        cmd(words[0]).arg(&words[1..]).query_async(&mut connection).await.unwrap()
    }

    /// Moves every job of a lane's set (`delayed` or `leased`) to the past.
    pub(crate) async fn make_due(&self, kind: &str, lane: Lane) {
        let script = "for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do \
                      redis.call('ZADD', KEYS[1], 1, id) end return 1";
        let key = self.key(&format!("{kind}:default:{lane}"));
        self.ask::<i64>(&["EVAL", script, "1", &key]).await;
    }

    /// Deletes all keys of this namespace, as a flush would.
    pub(crate) async fn flush(&self) {
        let keys: Vec<String> = self.ask(&["KEYS", &self.key("*")]).await;
        for key in keys {
            self.ask::<i64>(&["DEL", &key]).await;
        }
    }

    /// Claims up to `count` jobs, one by one.
    pub(crate) async fn take(&self, count: usize) -> Vec<Lease> {
        let claimer = claimer();
        let mut taken = Vec::new();
        for _ in 0..count {
            taken.extend(self.queue.claim(&claimer, 1).await.unwrap().jobs);
        }
        taken
    }
}

/// Returns the Redis program that the test script has found.
#[expect(clippy::disallowed_methods, reason = "the script names the server programs in the environment")]
pub(crate) fn given_program() -> Option<PathBuf> {
    std::env::var_os("DEV_REDIS_BIN").map(PathBuf::from)
}

#[expect(clippy::disallowed_methods, reason = "tests find their servers only through the environment")]
fn server_url() -> String {
    std::env::var("TEST_REDIS_URL").expect("TEST_REDIS_URL is not set: run ./dev test")
}

/// Limits of which only pauses and the breaker apply.
pub(crate) fn unlimited() -> BudgetSettings {
    BudgetSettings {
        enabled: false,
        concurrency: 1_000_000,
        team_running: 1_000_000,
        ..BudgetSettings::default()
    }
}

/// Limits of which only the primary window applies.
pub(crate) fn wide() -> BudgetSettings {
    BudgetSettings {
        points_per_minute: 1_000_000,
        minute: Duration::from_millis(10),
        registrations: 1_000_000,
        registrations_period: Duration::from_millis(10),
        concurrency: 1_000_000,
        team_running: 1_000_000,
        ..BudgetSettings::default()
    }
}

pub(crate) fn claimer() -> Claimer {
    Claimer::new("test", Duration::from_mins(1))
}

/// A provision job of this team, accepted now, with a deadline in 15 minutes.
pub(crate) fn ticket(team: TeamId) -> Ticket {
    Ticket {
        job: JobId::new(),
        installation: InstallationId::default(),
        lane: Lane::Provision,
        team: Some(team),
        weight: 1.0,
        cost: 1,
        age: Duration::ZERO,
        time_left: Duration::from_mins(15),
        delay: Duration::ZERO,
        urgent: false,
    }
}

pub(crate) fn tickets(count: usize, team: TeamId) -> Vec<Ticket> {
    (0..count).map(|_| ticket(team)).collect()
}

pub(crate) fn in_lane(lane: Lane, count: usize) -> Vec<Ticket> {
    let team = TeamId::new();
    (0..count).map(|_| Ticket { lane, ..ticket(team) }).collect()
}

pub(crate) fn delayed(team: TeamId) -> Ticket {
    Ticket { delay: Duration::from_hours(1), ..ticket(team) }
}

/// A private Redis on a socket; it stops when dropped.
pub(crate) struct Server {
    child: Child,
    folder: PathBuf,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let folder = PathBuf::from(format!("/tmp/queue-test-{}", Uuid::new_v4().simple()));
        std::fs::create_dir(&folder).unwrap();
        let server = Self { child: spawn(&folder), folder };
        server.ready().await;
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.folder.join("redis.sock").display())
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) async fn restart(&mut self) {
        self.child = spawn(&self.folder);
        self.ready().await;
    }

    async fn ready(&self) {
        let queue = Queue::connect(&QueueConfig::new(self.url(), "ready")).unwrap();
        while queue.ping().await.is_err() {
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A connection to a server that can drop responses.
pub(crate) struct Line {
    path: PathBuf,
    deaf: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Line {
    pub(crate) fn to(server: &Server) -> Self {
        let (path, far) = (server.folder.join("line.sock"), server.folder.join("redis.sock"));
        let deaf = Arc::new(AtomicBool::new(false));
        let listener = UnixListener::bind(&path).unwrap();
        let swallow = deaf.clone();
        let task = tokio::spawn(async move {
            let mut calls = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let (far, swallow) = (UnixStream::connect(&far).await.unwrap(), swallow.clone());
                calls.spawn(carry(near, far, swallow));
            }
        });
        Self { path, deaf, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.path.display())
    }

    pub(crate) fn swallow_answers(&self, yes: bool) {
        self.deaf.store(yes, Ordering::SeqCst);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(near: UnixStream, far: UnixStream, swallow: Arc<AtomicBool>) {
    let ((mut asks, mut hears), (mut answers, mut takes)) = (near.into_split(), far.into_split());
    let back = async move {
        let mut bytes = [0; 4_096];
        while let Ok(count @ 1..) = answers.read(&mut bytes).await {
            if !swallow.load(Ordering::SeqCst) && hears.write_all(&bytes[..count]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        _ = tokio::io::copy(&mut asks, &mut takes) => {}
        () = back => {}
    }
}

/// Some systems ship the server only as the check tool, which is the same program with another name.
fn spawn(folder: &Path) -> Child {
    let names = ["redis-server", "valkey-server", "redis-check-rdb", "valkey-check-rdb"];
    let places = ["/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"];
    let program = names
        .iter()
        .flat_map(|name| places.iter().map(move |place| Path::new(place).join(name)))
        .find(|path| path.is_file())
        .expect("no redis server found: apt install redis-server");
    Command::new(program)
        .arg0("redis-server")
        .args(["--port", "0", "--appendonly", "no", "--save", "", "--unixsocket", "redis.sock"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
