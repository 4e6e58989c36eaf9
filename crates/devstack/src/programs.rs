//! Search for the server programs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Error, Options};

/// Folders of PostgreSQL's programs; one `*` matches any text within a name.
const POSTGRES: &[&str] = &[
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/libexec/postgresql*",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
    "/usr/bin",
    "/usr/local/bin",
    "/opt/homebrew/bin",
];

const REDIS: &[&str] = &[
    "/usr/bin",
    "/usr/local/bin",
    "/opt/homebrew/bin",
    "/opt/homebrew/opt/valkey/bin",
    "/opt/homebrew/opt/redis/bin",
    "/usr/local/opt/valkey/bin",
    "/usr/local/opt/redis/bin",
];

/// Names of the server program. Debian's `redis-tools` and `valkey-tools` contain the server under the name of its
/// checker.
const REDIS_NAMES: &[&str] = &["valkey-server", "redis-server", "valkey-check-rdb", "redis-check-rdb"];

/// Server programs; they exist.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// Folder of `initdb` and `postgres`.
    pub(crate) pg_bin: PathBuf,
    /// Output of `postgres --version`.
    pub(crate) pg_version: String,
    /// A Redis or Valkey server.
    pub(crate) redis: PathBuf,
}

impl Programs {
    pub(crate) fn find(options: &Options) -> Result<Self, Error> {
        let has_both = |dir: &PathBuf| dir.join("initdb").is_file() && dir.join("postgres").is_file();
        let mut folders =
            options.pg_bin.clone().map_or_else(|| expand_all(POSTGRES), |dir| vec![dir]).into_iter();
        let pg_bin = folders.find(has_both).ok_or(Error::NoPostgres)?;
        let redis = Self::find_redis(options)?;
        Ok(Self { pg_version: supported_version(&pg_bin)?, pg_bin, redis })
    }

    /// Returns the Redis or Valkey server program.
    pub(crate) fn find_redis(options: &Options) -> Result<PathBuf, Error> {
        let redis = match &options.redis_bin {
            Some(file) => Some(file.clone()).filter(|file| file.is_file()),
            None => find_redis(),
        };
        redis.ok_or(Error::NoRedis)
    }
}

fn find_redis() -> Option<PathBuf> {
    let files = REDIS_NAMES.iter().flat_map(|name| REDIS.iter().map(move |dir| Path::new(dir).join(name)));
    files.into_iter().find(|file| file.is_file())
}

fn supported_version(pg_bin: &Path) -> Result<String, Error> {
    const OLDEST: u32 = 15;
    let program = pg_bin.join("postgres");
    let output = Command::new(&program).arg("--version").env("LC_ALL", "C").output();
    let output = output.map_err(|source| Error::Run { program, source })?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match major(&version) {
        Some(number) if number >= OLDEST => Ok(version),
        _ => Err(Error::OldPostgres { path: pg_bin.to_path_buf(), version }),
    }
}

/// Returns the major version: `postgres (PostgreSQL) 15.13 (Debian …)` is 15.
fn major(version: &str) -> Option<u32> {
    let number = version.split_once("(PostgreSQL) ")?.1;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn expand_all(patterns: &[&str]) -> Vec<PathBuf> {
    patterns.iter().flat_map(|pattern| expand(pattern)).collect()
}

/// Returns the paths that match a pattern, highest version first.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else { return vec![pattern.into()] };
    let Some((parent, start)) = before.rsplit_once('/') else { return Vec::new() };
    let rest = after.trim_start_matches('/');
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if let Some(name) = entry.file_name().to_str().and_then(|name| name.strip_prefix(start)) {
            let number = name.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0);
            found.push((number, entry.path().join(rest)));
        }
    }
    found.sort_unstable_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, path)| path).collect()
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn reads_the_major_version() {
        assert_eq!(major("postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)"), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major("something else"), None);
    }
}
