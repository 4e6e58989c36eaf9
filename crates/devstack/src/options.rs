use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use crate::WrongClock;

/// What to start, and where to keep it. The default is a throw-away stack of the programs found.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Folder that holds `initdb` and `postgres`. `None`: looked for in the usual places, newest first.
    pub pg_bin: Option<PathBuf>,
    /// The Redis or Valkey server program. `None`: looked for in the usual places.
    pub redis_bin: Option<PathBuf>,
    /// Keep the data here between runs. `None`: it goes when the stack stops.
    pub data: Option<PathBuf>,
    /// Start with an empty Redis even if `data` is set. PostgreSQL is the truth; Redis may hold what is true of another
    /// GitHub: tokens, windows, pauses.
    pub empty_redis: bool,
    /// Write to disk as production does (fsync, append-only file every second). Always so when `data` is set.
    pub durable: bool,
    /// Keep the result of `initdb` in this folder, so that later starts copy it instead of running it.
    pub seed_cache: Option<PathBuf>,
    /// SQL files to run, in this order, in the database `postgres` once it answers. For throw-away stacks.
    pub scripts: Vec<PathBuf>,
    /// A wall clock that is wrong, for servers of their own.
    pub clocks: Vec<WrongClock>,
}

impl Options {
    /// Where the data of a checkout is kept between runs: `.dev/data` in it. As root it is a folder of
    /// `/var/tmp` named after the checkout, since the servers run as a user who may not reach the checkout.
    pub fn data_of(checkout: &Path) -> PathBuf {
        if !geteuid().is_root() {
            return checkout.join(".dev/data");
        }
        let path = checkout.to_string_lossy();
        let name: String = path.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        // A file's name may have 255 bytes; the end tells checkouts apart.
        let end = name.len().saturating_sub(100);
        PathBuf::from(format!("/var/tmp/rts-dev-data{}", &name[end..]))
    }

    pub(crate) fn is_durable(&self) -> bool {
        self.durable || self.data.is_some()
    }
}
