//! Options of a stack.

use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use crate::{ServerTls, WrongClock};

/// Servers to start, and the location of their data. The default is a throw-away stack of the programs found.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Folder with `initdb` and `postgres`. `None` searches the usual places, newest version first.
    pub pg_bin: Option<PathBuf>,
    /// Redis or Valkey server program. `None` searches the usual places.
    pub redis_bin: Option<PathBuf>,
    /// Folder that keeps the data between runs. `None` removes the data when the stack stops.
    pub data: Option<PathBuf>,
    /// Whether Redis starts empty even if `data` is set. PostgreSQL is the source of truth; Redis may hold tokens,
    /// windows and pauses of another GitHub.
    pub empty_redis: bool,
    /// Whether data is written to disk as in production: fsync, append-only file every second. Implied by `data`.
    pub durable: bool,
    /// Folder that caches the result of `initdb`, so that later starts copy it.
    pub seed_cache: Option<PathBuf>,
    /// SQL files to run in order in the database `postgres`, for throw-away stacks.
    pub scripts: Vec<PathBuf>,
    /// Certificate with which the servers also listen on loopback, with TLS only.
    pub tls: Option<ServerTls>,
    /// Wrong wall clocks of single servers.
    pub clocks: Vec<WrongClock>,
}

/// Paths of the server programs, as options of a command line.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
pub struct ServerPrograms {
    /// Folder of PostgreSQL's server programs. Without it, usual places are searched.
    #[cfg_attr(feature = "clap", arg(long, env = "DEV_PG_BIN", value_name = "DIR"))]
    pub pg_bin: Option<PathBuf>,
    /// The Redis or Valkey server program. Without it, usual places are searched.
    #[cfg_attr(feature = "clap", arg(long, env = "DEV_REDIS_BIN", value_name = "FILE"))]
    pub redis_bin: Option<PathBuf>,
}

impl ServerPrograms {
    /// Returns the options of a stack with these programs, which keeps its data in `data`. In a checkout that was built,
    /// the stack shares the cached result of `initdb` with the tests.
    pub fn options(&self, data: Option<PathBuf>) -> Options {
        let target = Path::new("target");
        Options {
            pg_bin: self.pg_bin.clone(),
            redis_bin: self.redis_bin.clone(),
            data,
            seed_cache: target.is_dir().then(|| target.join("devstack")),
            ..Options::default()
        }
    }
}

impl Options {
    /// Returns the data folder of a checkout: `.dev/data` inside it. For root it is a folder of `/var/tmp` named after
    /// the checkout, because the servers' account may not be able to enter the checkout.
    pub fn data_of(checkout: &Path) -> PathBuf {
        if !geteuid().is_root() {
            return checkout.join(".dev/data");
        }
        let path = checkout.to_string_lossy();
        let name: String = path.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        // A file name has at most 255 bytes; the end of the path distinguishes checkouts.
        let end = name.len().saturating_sub(100);
        PathBuf::from(format!("/var/tmp/rts-dev-data{}", &name[end..]))
    }

    pub(crate) fn is_durable(&self) -> bool {
        self.durable || self.data.is_some()
    }
}
