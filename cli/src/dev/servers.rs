//! PostgreSQL and Redis of the environment: those of the settings, or private ones.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use devstack::{Options, Stack};
use runtime::config::Sources;

use super::DevArgs;
use crate::output;

/// Name of the file with the keys that seal configs at rest.
const CREDENTIAL_KEYS_FILE: &str = "credential-keys";
/// Name of the file with the keys that seal GitHub tokens and sign the audit chain.
const TOKEN_KEYS_FILE: &str = "token-keys";

/// Servers of one run.
pub(crate) struct Servers {
    stack: Option<Stack>,
    /// Folder with the data kept between runs; `None` if the data ends with the run.
    data: Option<PathBuf>,
}

impl Servers {
    /// Starts the servers that the settings do not name. Takes about a second.
    pub(super) async fn start(sources: &Sources, args: &DevArgs) -> anyhow::Result<Self> {
        let data = match &args.data {
            Some(data) => Some(std::path::absolute(data)?),
            None if args.once => None,
            None => Some(Options::data_of(&std::env::current_dir()?)),
        };
        if sources.has("DATABASE_URL") && sources.has("REDIS_URL") {
            return Ok(Self { stack: None, data });
        }
        if args.fresh
            && let Some(data) = &data
        {
            wipe(data)?;
        }
        // The GitHub twin of an earlier run is gone, and so are the tokens and limits that Redis has stored for it.
        let empty_redis = !names_github(sources);
        let options = Options { empty_redis, ..args.programs.options(data.clone()) };
        let stack = tokio::task::spawn_blocking(move || Stack::start(&options)).await??;
        Ok(Self { stack: Some(stack), data })
    }

    /// Adds the servers' addresses where the settings name none, and the keys of the stored configs and audit chains.
    pub(super) fn settings(&self, mut sources: Sources) -> anyhow::Result<Sources> {
        // A Redis of the settings may hold tokens of the GitHub twin of an earlier run, which no longer exists.
        let keeps_token_keys = !sources.has("REDIS_URL") || names_github(&sources);
        if let Some(stack) = &self.stack {
            for (name, url) in
                [("DATABASE_URL", stack.database_url("postgres")), ("REDIS_URL", stack.redis_url(0))]
            {
                if !sources.has(name) {
                    sources = sources.set(name, url);
                }
            }
        }
        if !sources.has("TOKEN_KEYS") {
            let keys = if keeps_token_keys { self.keys(TOKEN_KEYS_FILE)? } else { new_keys() };
            sources = sources.set("TOKEN_KEYS", keys);
        }
        if !sources.has("CREDENTIAL_KEYS") {
            sources = sources.set("CREDENTIAL_KEYS", self.keys(CREDENTIAL_KEYS_FILE)?);
        }
        Ok(sources)
    }

    /// Returns the keys of earlier runs whose data is kept, else new ones.
    fn keys(&self, file: &str) -> anyhow::Result<String> {
        self.data.as_deref().map_or_else(|| Ok(new_keys()), |data| kept_keys(data, file))
    }

    /// Returns the address of the private PostgreSQL, which needs no password.
    pub(super) fn database_url(&self) -> Option<String> {
        self.stack.as_ref().map(|stack| stack.database_url("postgres"))
    }

    /// Writes a secret of this run to a file for the user. Returns `None` if no data is kept.
    pub(super) fn write_secret(&self, name: &str, text: &str) -> anyhow::Result<Option<PathBuf>> {
        self.data.as_deref().map(|data| write_private_file(data, name, text)).transpose()
    }

    /// Returns a short description of the servers for the user.
    pub(super) fn describe(&self) -> String {
        match (&self.stack, &self.data) {
            (None, _) => "those of DATABASE_URL and REDIS_URL".to_owned(),
            (Some(_), Some(data)) => format!("private PostgreSQL and Redis, data in {}", data.display()),
            (Some(_), None) => "private PostgreSQL and Redis, thrown away at the end".to_owned(),
        }
    }

    /// Stops the servers that this run has started.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        let Some(stack) = self.stack else { return Ok(()) };
        Ok(tokio::task::spawn_blocking(move || stack.stop()).await??)
    }
}

/// Returns whether the settings name a GitHub server; otherwise the twin is used.
pub(super) fn names_github(sources: &Sources) -> bool {
    sources.has("GITHUB_APP_ID") || sources.has("GITHUB_TOKEN_PATH")
}

/// Removes the data of earlier runs, unless one of them is still running.
fn wipe(data: &Path) -> anyhow::Result<()> {
    if !data.exists() {
        return Ok(());
    }
    let lock = File::options().create(true).truncate(false).write(true).open(data.join("lock"))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => bail!("{} is in use by another run", data.display()),
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    fs::remove_dir_all(data).with_context(|| format!("cannot remove {}", data.display()))?;
    output::line(format_args!("removed {}", data.display()));
    Ok(())
}

/// Returns a new key under a name of its own: what another key sealed or signed is not taken for damaged.
fn new_keys() -> String {
    format!("dev-{:08x}:{}", rand::random::<u32>(), STANDARD.encode(rand::random::<[u8; 32]>()))
}

/// Returns the keys in a file of earlier runs, or new ones if there are none.
fn kept_keys(data: &Path, file: &str) -> anyhow::Result<String> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(data)?;
    let path = data.join(file);
    let mut keys = String::new();
    match File::open(&path) {
        Ok(file) => {
            file.take(4096)
                .read_to_string(&mut keys)
                .with_context(|| format!("cannot read {}", path.display()))?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
    if !keys.trim().is_empty() {
        return Ok(keys);
    }
    let keys = new_keys();
    write_private_file(data, file, &keys)?;
    Ok(keys)
}

/// Writes a file that only its owner can read. The file is renamed last, so that it is complete even if the run is
/// killed.
fn write_private_file(data: &Path, name: &str, text: &str) -> anyhow::Result<PathBuf> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(data)?;
    let path = data.join(name);
    let draft = path.with_extension("draft");
    let write = || -> io::Result<()> {
        // A leftover draft may have been readable to others.
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, &path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_run_that_was_killed_while_it_wrote_them_are_made_again() {
        let data = std::env::temp_dir().join(format!("rts-keys-{}", uuid::Uuid::new_v4()));
        let made = kept_keys(&data, TOKEN_KEYS_FILE).unwrap();
        assert_eq!(kept_keys(&data, TOKEN_KEYS_FILE).unwrap(), made);
        fs::write(data.join(TOKEN_KEYS_FILE), "").unwrap();
        fs::write(data.join(TOKEN_KEYS_FILE).with_extension("draft"), "dev-").unwrap();
        let again = kept_keys(&data, TOKEN_KEYS_FILE).unwrap();
        assert!(again.starts_with("dev-") && again.len() > 40);
        assert_eq!(kept_keys(&data, TOKEN_KEYS_FILE).unwrap(), again);
        fs::remove_dir_all(&data).unwrap();
    }
}
