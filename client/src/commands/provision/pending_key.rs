//! Idempotency key of a request whose config was not handed over yet.
//!
//! The key lies in a locked file until then, so that the same command after an interruption gets the same runner, while
//! two commands at the same time get two runners. The key pair of a sealed config lies beside it.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Seek, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{SealingKeyPair, Secret};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{connection::create_private_folder, error::ClientError};

/// Most equal requests of one machine at the same time that can be resumed.
const MAX_SLOTS: usize = 64;
/// Longest time after which a request is resumed. A config that was never fetched expires.
const MAX_AGE: TimeDelta = TimeDelta::minutes(15);
/// Most bytes of a key's file.
const MAX_BYTES: u64 = 256;
/// Word in the file of a key that the caller chose; the key itself is the caller's.
const GIVEN: &str = "rts-given";

/// A key, and the file that remembers it.
#[derive(Debug)]
pub(crate) struct PendingKey {
    key: String,
    pair: Option<SealingKeyPair>,
    /// Held open, since closing it gives the lock back.
    file: Option<(PathBuf, File)>,
}

impl PendingKey {
    /// Returns a key that the caller chose; it is remembered by the caller.
    pub(crate) fn given(key: &str) -> Self {
        Self { key: key.to_owned(), pair: None, file: None }
    }

    /// Returns a key that the caller chose, with the key pair of its first request. The file stays until its age ends,
    /// since the caller may repeat the request.
    ///
    /// # Errors
    /// [`ClientError::Failed`] if the key pair can be neither read nor kept, or a running command has it.
    pub(crate) fn given_and_sealed(
        state: Option<&Path>,
        request: &str,
        key: &str,
    ) -> Result<Self, ClientError> {
        let fault = || {
            ClientError::Failed(
                "the key of a sealed config cannot be kept, or another command uses it".to_owned(),
            )
        };
        let folder = state.ok_or_else(fault)?.join("pending");
        create_private_folder(&folder).map_err(|_| fault())?;
        let name = hash(&format!("{key}\n{request}"));
        let (_, mut file) = lock(folder.join(format!("{name}-given")), true).ok_or_else(fault)?;
        let known = read_key(&file, Utc::now()).and_then(|(_, pair)| pair);
        let pair = if let Some(pair) = known {
            pair
        } else {
            let pair = SealingKeyPair::generate().map_err(|_| fault())?;
            // After a power failure the caller sends this key again, and only this pair opens its config.
            let kept = write_key(&mut file, GIVEN, Some(&pair), Utc::now()).and_then(|()| file.sync_all());
            kept.map_err(|_| fault())?;
            pair
        };
        Ok(Self { key: key.to_owned(), pair: Some(pair), file: None })
    }

    /// Returns the key of an equal request that was interrupted, or a new one. Where no file can be written, the key is
    /// new and cannot be resumed. With `sealed`, a new key has a key pair.
    pub(crate) fn take(state: Option<&Path>, request: &str, sealed: bool) -> Self {
        let folder = state.map(|state| state.join("pending"));
        let now = Utc::now();
        let slot = folder.and_then(|folder| lock_slot(&folder, &hash(request), now));
        // Without randomness for a key pair the config is not sealed; the service's TLS would fail as well.
        let new = || (new_key(), if sealed { SealingKeyPair::generate().ok() } else { None });
        let Some((path, mut file)) = slot else {
            let (key, pair) = new();
            return Self { key, pair, file: None };
        };
        let (key, pair) = read_key(&file, now).unwrap_or_else(|| {
            let (key, pair) = new();
            // A key that could not be written, or that a power failure loses, is a key that cannot be resumed. The
            // runner does not wait for the disk.
            let _ = write_key(&mut file, &key, pair.as_ref(), now);
            (key, pair)
        });
        Self { key, pair, file: Some((path, file)) }
    }

    /// Returns the key pair that the config is sealed to.
    pub(crate) const fn pair(&self) -> Option<&SealingKeyPair> {
        self.pair.as_ref()
    }

    /// Forgets the key pair: the service cannot seal.
    pub(crate) fn forget_pair(&mut self) {
        self.pair = None;
        if let Some((_, file)) = &mut self.file {
            // A request that is resumed tries the key pair again, and the service refuses it again.
            let _ = write_key(file, &self.key, None, Utc::now());
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.key
    }

    /// Forgets the key: the config was handed over, or cannot be any more.
    pub(crate) fn release(self) {
        if let Some((path, _file)) = &self.file {
            // A file that stays is only resumed within its time.
            let _ = fs::remove_file(path);
        }
    }
}

fn new_key() -> String {
    format!("rts-{}", Uuid::new_v4().simple())
}

fn hash(request: &str) -> String {
    let digest = digest(&SHA256, request.as_bytes());
    let mut first = [0; 16];
    first.copy_from_slice(&digest.as_ref()[..16]);
    format!("{:032x}", u128::from_be_bytes(first))
}

/// Returns a file of this request that no running command holds: one with a key that can be resumed, or else a new one.
fn lock_slot(folder: &Path, name: &str, now: DateTime<Utc>) -> Option<(PathBuf, File)> {
    create_private_folder(folder).ok()?;
    let path = |slot| folder.join(format!("{name}-{slot}"));
    let known = (0..MAX_SLOTS).filter_map(|slot| lock(path(slot), false));
    let mut resumable = known.filter(|(_, file)| read_key(file, now).is_some());
    resumable.next().or_else(|| (0..MAX_SLOTS).find_map(|slot| lock(path(slot), true)))
}

/// Opens and locks a file, unless a running command holds it.
fn lock(path: PathBuf, create: bool) -> Option<(PathBuf, File)> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(create).truncate(false).mode(0o600);
    let file = options.open(&path).ok()?;
    // A command that just released its key has removed the file: the lock of a removed file protects nothing.
    (file.try_lock().is_ok() && is_at(&file, &path)).then_some((path, file))
}

fn is_at(file: &File, path: &Path) -> bool {
    let inode =
        |metadata: std::io::Result<fs::Metadata>| metadata.ok().map(|found| (found.dev(), found.ino()));
    let open = inode(file.metadata());
    open.is_some() && open == inode(fs::metadata(path))
}

fn read_key(mut file: &File, now: DateTime<Utc>) -> Option<(String, Option<SealingKeyPair>)> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(MAX_BYTES).read_to_string(&mut text).ok()?;
    let text = Zeroizing::new(text);
    let mut words = text.split_whitespace();
    let (key, at, pair) = (words.next()?, words.next()?, words.next());
    let age = now - at.parse::<DateTime<Utc>>().ok()?;
    let good = key.starts_with("rts-") && key.len() < 64 && key.bytes().all(|byte| byte.is_ascii_graphic());
    (good && age >= TimeDelta::zero() && age < MAX_AGE)
        .then(|| (key.to_owned(), pair.and_then(SealingKeyPair::from_secret)))
}

fn write_key(
    file: &mut File,
    key: &str,
    pair: Option<&SealingKeyPair>,
    now: DateTime<Utc>,
) -> std::io::Result<()> {
    let secret = pair.map(SealingKeyPair::to_secret);
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{key} {} {}", now.to_rfc3339(), secret.as_ref().map_or("", Secret::expose))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that is removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("rts-pending-{}", Uuid::new_v4().simple()));
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn interrupted_request_keeps_its_key() {
        let folder = Folder::new();
        let first = PendingKey::take(Some(&folder.0), "a", true);
        let key = first.as_str().to_owned();
        let public = first.pair().unwrap().public();
        drop(first);
        let again = PendingKey::take(Some(&folder.0), "a", true);
        assert_eq!(again.as_str(), key);
        assert_eq!(again.pair().unwrap().public(), public, "the resumed request opens the config");
        again.release();
        assert_ne!(PendingKey::take(Some(&folder.0), "a", true).as_str(), key);
    }

    #[test]
    fn chosen_key_keeps_its_pair_and_an_older_release_has_none() {
        let folder = Folder::new();
        let pair = |request: &str, key: &str| {
            let taken = PendingKey::given_and_sealed(Some(&folder.0), request, key).unwrap();
            taken.pair().unwrap().public()
        };
        assert_eq!(pair("a", "build-7"), pair("a", "build-7"));
        assert_ne!(pair("a", "build-7"), pair("a", "build-8"));
        let first = PendingKey::take(Some(&folder.0), "old", true);
        let (path, _) = first.file.as_ref().unwrap();
        fs::write(path, format!("rts-1 {}", Utc::now().to_rfc3339())).unwrap();
        drop(first);
        let resumed = PendingKey::take(Some(&folder.0), "old", true);
        assert!(resumed.as_str() == "rts-1" && resumed.pair().is_none());
    }

    #[test]
    fn two_requests_at_once_have_two_keys() {
        let folder = Folder::new();
        let (first, second) =
            (PendingKey::take(Some(&folder.0), "a", true), PendingKey::take(Some(&folder.0), "a", true));
        assert_ne!(first.as_str(), second.as_str());
        assert_ne!(PendingKey::take(Some(&folder.0), "b", true).as_str(), first.as_str());
    }

    #[test]
    fn old_or_damaged_key_is_not_resumed() {
        let folder = Folder::new();
        for text in ["rts-old 2020-01-01T00:00:00Z", "nonsense", "rts-x not-a-time", ""] {
            let first = PendingKey::take(Some(&folder.0), "a", true);
            let (path, _) = first.file.as_ref().unwrap();
            fs::write(path, text).unwrap();
            drop(first);
            let key = PendingKey::take(Some(&folder.0), "a", true);
            assert!(key.as_str().len() > 30, "{text}");
            assert!(read_key(&key.file.as_ref().unwrap().1, Utc::now()).is_some(), "{text}");
        }
    }
}
