//! PostgreSQL and Redis of a test: shared by all tests, or its own, which the test may stop and start.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use devstack::{Layout, Options, RedisGroup, ServerTls, Stack, TlsPorts, WrongClock};

use crate::World;

/// One PostgreSQL and one Redis.
#[derive(Clone, Debug)]
pub(crate) struct Servers {
    pub(crate) postgres: String,
    pub(crate) redis: String,
    tls: Option<TlsPorts>,
    own: Option<Arc<Mutex<Stack>>>,
    group: Option<Arc<Mutex<RedisGroup>>>,
}

impl Servers {
    /// Returns the servers of `TEST_DATABASE_URL` and `TEST_REDIS_URL`.
    pub(crate) fn shared() -> Self {
        Self {
            postgres: crate::server("TEST_DATABASE_URL"),
            redis: crate::server("TEST_REDIS_URL"),
            tls: None,
            own: None,
            group: None,
        }
    }

    /// Starts new servers for one test.
    pub(crate) async fn own(clocks: Vec<WrongClock>, tls: Option<Box<ServerTls>>) -> Self {
        let options = Options { clocks, tls: tls.map(|tls| *tls), ..options() };
        let stack = tokio::task::spawn_blocking(move || Stack::start(&options).unwrap()).await.unwrap();
        let (postgres, redis) = (stack.database_url("postgres"), stack.redis_url(0));
        let tls = stack.tls_ports();
        Self { postgres, redis, tls, own: Some(Arc::new(Mutex::new(stack))), group: None }
    }

    /// Starts a group of Redis servers and uses it instead of the single one.
    pub(crate) async fn take_group(&mut self, layout: Layout) {
        let start = move || RedisGroup::start(layout, options().redis_bin.as_deref()).unwrap();
        let group = tokio::task::spawn_blocking(start).await.unwrap();
        self.redis = group.url();
        self.group = Some(Arc::new(Mutex::new(group)));
    }

    /// Runs `what` on the test's own servers, on a blocking thread: it may take seconds.
    pub(crate) async fn act<F>(&self, what: F)
    where
        F: FnOnce(&mut Stack) -> Result<(), devstack::Error> + Send + 'static,
    {
        let own = self.own.clone().expect("a world with servers of its own");
        let act = move || what(&mut own.lock().unwrap_or_else(PoisonError::into_inner));
        tokio::task::spawn_blocking(act).await.unwrap().unwrap();
    }

    /// Returns whether the servers belong to this test and end with it.
    pub(crate) fn are_own(&self) -> bool {
        self.own.is_some()
    }
}

impl World {
    /// Stops, starts or freezes the servers of a world that has its own. May take seconds.
    ///
    /// # Panics
    /// When the world shares its servers, or the action fails.
    pub async fn servers<F>(&self, what: F)
    where
        F: FnOnce(&mut Stack) -> Result<(), devstack::Error> + Send + 'static,
    {
        self.servers.act(what).await;
    }

    /// Returns the ports on which the servers of a world with a certificate speak TLS.
    ///
    /// # Panics
    /// When the world has none.
    pub fn tls_ports(&self) -> TlsPorts {
        self.servers.tls.expect("a world with a certificate")
    }
}

impl World {
    /// Stops, starts or fails over the Redis servers of a world that has a group of them. May take seconds.
    ///
    /// # Panics
    /// When the world has no group, or the action fails.
    pub async fn redis_group<F>(&self, what: F)
    where
        F: FnOnce(&mut RedisGroup) -> Result<(), devstack::Error> + Send + 'static,
    {
        let group = self.servers.group.clone().expect("a world with a group of Redis servers");
        let act = move || what(&mut group.lock().unwrap_or_else(PoisonError::into_inner));
        tokio::task::spawn_blocking(act).await.unwrap().unwrap();
    }
}

/// Starts a group of Redis servers with this certificate, which must be for 127.0.0.1.
///
/// # Panics
/// When the servers do not start.
pub async fn redis_group_with_tls(layout: Layout, tls: ServerTls) -> RedisGroup {
    let start = move || RedisGroup::start_with_tls(layout, options().redis_bin.as_deref(), &tls).unwrap();
    tokio::task::spawn_blocking(start).await.unwrap()
}

fn options() -> Options {
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/devstack");
    let seed_cache = std::fs::create_dir_all(&cache).is_ok().then_some(cache);
    Options {
        pg_bin: program("DEV_PG_BIN"),
        redis_bin: program("DEV_REDIS_BIN"),
        seed_cache,
        ..Options::default()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the script says where the server programs are by the environment"
)]
fn program(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from)
}
