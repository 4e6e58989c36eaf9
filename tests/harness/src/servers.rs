//! Where a test's PostgreSQL and Redis are: the ones all tests share, or its own, which it may stop and start.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use devstack::{Options, Stack};

use crate::World;

/// A PostgreSQL and a Redis.
#[derive(Clone, Debug)]
pub(crate) struct Servers {
    pub(crate) postgres: String,
    pub(crate) redis: String,
    own: Option<Arc<Mutex<Stack>>>,
}

impl Servers {
    /// Those of `TEST_DATABASE_URL` and `TEST_REDIS_URL`.
    pub(crate) fn shared() -> Self {
        Self {
            postgres: crate::server("TEST_DATABASE_URL"),
            redis: crate::server("TEST_REDIS_URL"),
            own: None,
        }
    }

    /// New ones, for one test alone.
    pub(crate) async fn own() -> Self {
        let stack = tokio::task::spawn_blocking(|| Stack::start(&options()).unwrap()).await.unwrap();
        let (postgres, redis) = (stack.database_url("postgres"), stack.redis_url(0));
        Self { postgres, redis, own: Some(Arc::new(Mutex::new(stack))) }
    }

    /// Does something to its own servers, which takes up to seconds.
    pub(crate) async fn act<F>(&self, what: F)
    where
        F: FnOnce(&mut Stack) -> Result<(), devstack::Error> + Send + 'static,
    {
        let own = self.own.clone().expect("a world with servers of its own");
        let act = move || what(&mut own.lock().unwrap_or_else(PoisonError::into_inner));
        tokio::task::spawn_blocking(act).await.unwrap().unwrap();
    }

    /// Whether they end with the test.
    pub(crate) fn are_own(&self) -> bool {
        self.own.is_some()
    }
}

impl World {
    /// Does something to the servers of a world that has its own, which takes up to seconds.
    ///
    /// # Panics
    /// When the world shares its servers with others, or it cannot be done.
    pub async fn servers<F>(&self, what: F)
    where
        F: FnOnce(&mut Stack) -> Result<(), devstack::Error> + Send + 'static,
    {
        self.servers.act(what).await;
    }
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
