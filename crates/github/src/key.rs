//! The App's private key: read, watched, used to sign, never shown.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use chrono::{DateTime, Utc};
use domain::Secret;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::settings::{GitHubSettings, KeySource};

/// A JWT is dated back so far, for clocks that run ahead of GitHub's.
const BACKDATED_SECONDS: i64 = 60;
/// GitHub accepts ten minutes at most.
const LIFE_SECONDS: i64 = 9 * 60;
/// No RSA key is larger.
const MAX_PEM_BYTES: u64 = 64 * 1024;

/// Why the key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file cannot be read.
    #[error("the private key {path} cannot be read: {reason}")]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// The system's word for it.
        reason: io::ErrorKind,
    },
    /// Everyone on the machine may read the file.
    #[error("the private key {0} is readable by everyone: chmod it to 0400, or allow it explicitly")]
    WorldReadable(PathBuf),
    /// Not an RSA private key in PEM.
    #[error("the private key is not an RSA key in PEM")]
    NotRsa,
}

/// Signs App JWTs with the newest usable key.
pub(crate) struct AppKey {
    app_id: String,
    file: Option<PathBuf>,
    allow_insecure: bool,
    check_every: Duration,
    held: Mutex<Held>,
}

struct Held {
    key: EncodingKey,
    print: Option<Print>,
    checked: Instant,
}

/// What tells one version of a file from the next.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Print {
    modified: Option<SystemTime>,
    len: u64,
}

/// The claims GitHub asks for, and a random `jti`: two JWTs of one second must differ.
#[derive(Serialize)]
struct Claims<'a> {
    iat: i64,
    exp: i64,
    iss: &'a str,
    jti: Uuid,
}

impl AppKey {
    /// Reads the key and proves that it signs.
    pub(crate) fn new(app_id: &str, source: &KeySource, settings: &GitHubSettings) -> Result<Self, KeyError> {
        let (key, print, file) = match source {
            KeySource::Pem(pem) => (parse(pem.expose())?, None, None),
            KeySource::File(path) => {
                let (key, print) = read(path, settings.allow_insecure_key)?;
                (key, Some(print), Some(path.clone()))
            }
        };
        Ok(Self {
            app_id: app_id.to_owned(),
            file,
            allow_insecure: settings.allow_insecure_key,
            check_every: settings.key_check_every,
            held: Mutex::new(Held { key, print, checked: Instant::now() }),
        })
    }

    /// A fresh JWT as of `now` (GitHub's clock). Touches the disk: call it where blocking is allowed.
    pub(crate) fn sign(&self, now: DateTime<Utc>) -> Result<Secret, KeyError> {
        self.refresh();
        let now = now.timestamp();
        let claims = Claims {
            iat: now - BACKDATED_SECONDS,
            exp: now + LIFE_SECONDS,
            iss: &self.app_id,
            jti: Uuid::new_v4(),
        };
        let held = self.held();
        jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &held.key)
            .map(Secret::new)
            .map_err(|_| KeyError::NotRsa)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a changed file over. A file that cannot be used yet (half written, wrong mode) leaves the old key in place
    /// and is tried again at the next look.
    fn refresh(&self) {
        let Some(path) = &self.file else { return };
        let mut held = self.held();
        if held.checked.elapsed() < self.check_every {
            return;
        }
        held.checked = Instant::now();
        if held.print.is_some() && print(path).ok() == held.print {
            return;
        }
        match read(path, self.allow_insecure) {
            Ok((key, print)) => {
                held.key = key;
                held.print = Some(print);
                tracing::info!(path = %path.display(), "the App's private key was read again");
            }
            Err(error) => {
                tracing::warn!(%error, "the App's private key changed but cannot be used: keeping the old one");
            }
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> KeyError {
    KeyError::Unreadable { path: path.to_owned(), reason: error.kind() }
}

fn print(path: &Path) -> Result<Print, KeyError> {
    let meta = fs::metadata(path).map_err(|e| unreadable(path, &e))?;
    Ok(Print { modified: meta.modified().ok(), len: meta.len() })
}

fn read(path: &Path, allow_insecure: bool) -> Result<(EncodingKey, Print), KeyError> {
    let meta = fs::metadata(path).map_err(|e| unreadable(path, &e))?;
    if !allow_insecure && world_readable(&meta) {
        return Err(KeyError::WorldReadable(path.to_owned()));
    }
    if meta.len() > MAX_PEM_BYTES {
        return Err(KeyError::NotRsa);
    }
    let print = Print { modified: meta.modified().ok(), len: meta.len() };
    let pem = Zeroizing::new(fs::read_to_string(path).map_err(|e| unreadable(path, &e))?);
    Ok((parse(&pem)?, print))
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

fn parse(pem: &str) -> Result<EncodingKey, KeyError> {
    let key = EncodingKey::from_rsa_pem(pem.as_bytes()).map_err(|_| KeyError::NotRsa)?;
    jsonwebtoken::encode(&Header::new(Algorithm::RS256), &serde_json::json!({}), &key)
        .map_err(|_| KeyError::NotRsa)?;
    Ok(key)
}
