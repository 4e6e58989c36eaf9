//! Credential in a file, read again when the file changes and never shown.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use zeroize::Zeroizing;

use crate::{key_error::KeyError, settings::GitHubSettings};

/// Largest credential.
const MAX_BYTES: u64 = 64 * 1024;

/// Value parsed from the newest usable content of a file.
pub(crate) struct ReloadingFile<T> {
    path: PathBuf,
    parse: fn(&str) -> Result<T, KeyError>,
    allow_insecure: bool,
    check_every: Duration,
    loaded: Mutex<LoadedFile<T>>,
}

struct LoadedFile<T> {
    value: T,
    stamp: FileStamp,
    checked: Instant,
}

/// Properties that distinguish two versions of a file.
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
        let (value, stamp) = read(path, settings.allow_insecure_key, parse)?;
        Ok(Self {
            path: path.to_owned(),
            parse,
            allow_insecure: settings.allow_insecure_key,
            check_every: settings.key_check_every,
            loaded: Mutex::new(LoadedFile { value, stamp, checked: Instant::now() }),
        })
    }

    /// Returns the newest value. Reads the disk: call it where blocking is allowed.
    ///
    /// While a changed file cannot be used (half written, wrong mode), the old value stays. The next check tries again.
    pub(crate) fn get(&self) -> T {
        let mut loaded = self.loaded();
        if loaded.checked.elapsed() < self.check_every {
            return loaded.value.clone();
        }
        loaded.checked = Instant::now();
        if read_stamp(&self.path).ok() == Some(loaded.stamp) {
            return loaded.value.clone();
        }
        match read(&self.path, self.allow_insecure, self.parse) {
            Ok((value, stamp)) => {
                (loaded.value, loaded.stamp) = (value, stamp);
                tracing::info!(path = %self.path.display(), "Credential file changed; the new credential is in use");
            }
            Err(error) => {
                tracing::warn!(%error, "Credential file changed but cannot be used; the old credential stays in use");
            }
        }
        loaded.value.clone()
    }

    fn loaded(&self) -> MutexGuard<'_, LoadedFile<T>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unreadable(path: &Path, error: &io::Error) -> KeyError {
    KeyError::Unreadable { path: path.to_owned(), reason: error.kind() }
}

fn read_stamp(path: &Path) -> Result<FileStamp, KeyError> {
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
    let stamp = FileStamp { modified: meta.modified().ok(), len: meta.len() };
    if stamp.len > MAX_BYTES {
        return Err(KeyError::TooLarge(path.to_owned()));
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(|e| unreadable(path, &e))?);
    Ok((parse(&text)?, stamp))
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
