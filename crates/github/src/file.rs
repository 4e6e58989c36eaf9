//! A credential in a file: read, watched, read again when it changes, never shown.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use zeroize::Zeroizing;

use crate::{key_error::KeyError, settings::GitHubSettings};

/// No credential is larger.
const MAX_BYTES: u64 = 64 * 1024;

/// What is made of the newest usable content of a file.
pub(crate) struct ReloadingFile<T> {
    path: PathBuf,
    parse: fn(&str) -> Result<T, KeyError>,
    allow_insecure: bool,
    check_every: Duration,
    held: Mutex<LoadedFile<T>>,
}

struct LoadedFile<T> {
    value: T,
    print: FileStamp,
    checked: Instant,
}

/// What tells one version of a file from the next.
#[derive(Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    modified: Option<SystemTime>,
    len: u64,
}

impl<T: Clone> ReloadingFile<T> {
    /// Reads the file.
    pub(crate) fn open(
        path: &Path,
        settings: &GitHubSettings,
        parse: fn(&str) -> Result<T, KeyError>,
    ) -> Result<Self, KeyError> {
        let (value, print) = read(path, settings.allow_insecure_key, parse)?;
        Ok(Self {
            path: path.to_owned(),
            parse,
            allow_insecure: settings.allow_insecure_key,
            check_every: settings.key_check_every,
            held: Mutex::new(LoadedFile { value, print, checked: Instant::now() }),
        })
    }

    /// The newest. Touches the disk: call it where blocking is allowed.
    ///
    /// A changed file that cannot be used yet (half written, wrong mode) leaves the old value in place and is tried again
    /// at the next look.
    pub(crate) fn get(&self) -> T {
        let mut held = self.held();
        if held.checked.elapsed() < self.check_every {
            return held.value.clone();
        }
        held.checked = Instant::now();
        if stamp(&self.path).ok() == Some(held.print) {
            return held.value.clone();
        }
        match read(&self.path, self.allow_insecure, self.parse) {
            Ok((value, print)) => {
                (held.value, held.print) = (value, print);
                tracing::info!(path = %self.path.display(), "a credential was read again");
            }
            Err(error) => {
                tracing::warn!(%error, "a credential changed but cannot be used: keeping the old one");
            }
        }
        held.value.clone()
    }

    fn held(&self) -> MutexGuard<'_, LoadedFile<T>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unreadable(path: &Path, error: &io::Error) -> KeyError {
    KeyError::Unreadable { path: path.to_owned(), reason: error.kind() }
}

fn stamp(path: &Path) -> Result<FileStamp, KeyError> {
    let meta = fs::metadata(path).map_err(|e| unreadable(path, &e))?;
    Ok(FileStamp { modified: meta.modified().ok(), len: meta.len() })
}

fn read<T>(
    path: &Path,
    allow_insecure: bool,
    parse: fn(&str) -> Result<T, KeyError>,
) -> Result<(T, FileStamp), KeyError> {
    let meta = fs::metadata(path).map_err(|e| unreadable(path, &e))?;
    if !allow_insecure && world_readable(&meta) {
        return Err(KeyError::WorldReadable(path.to_owned()));
    }
    let print = FileStamp { modified: meta.modified().ok(), len: meta.len() };
    if print.len > MAX_BYTES {
        return Err(KeyError::TooLarge(path.to_owned()));
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(|e| unreadable(path, &e))?);
    Ok((parse(&text)?, print))
}

#[cfg(unix)]
fn world_readable(meta: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    meta.mode() & 0o004 != 0
}

#[cfg(not(unix))]
fn world_readable(_: &fs::Metadata) -> bool {
    false
}
