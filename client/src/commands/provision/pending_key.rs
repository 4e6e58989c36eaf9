//! Idempotency key of a request whose config was not handed over yet.
//!
//! The key lies in a locked file until then, so that the same command after an interruption gets the same runner, while
//! two commands at the same time get two runners.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Seek, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::connection::create_private_folder;

/// Most equal requests of one machine at the same time that can be resumed.
const MAX_SLOTS: usize = 64;
/// Longest time after which a request is resumed. A config that was never fetched expires.
const MAX_AGE: TimeDelta = TimeDelta::minutes(15);
/// Most bytes of a key's file.
const MAX_BYTES: u64 = 256;

/// A key, and the file that remembers it.
#[derive(Debug)]
pub(crate) struct PendingKey {
    key: String,
    /// Held open, since closing it gives the lock back.
    file: Option<(PathBuf, File)>,
}

impl PendingKey {
    /// Returns a key that the caller chose; it is remembered by the caller.
    pub(crate) fn given(key: &str) -> Self {
        Self { key: key.to_owned(), file: None }
    }

    /// Returns the key of an equal request that was interrupted, or a new one. Where no file can be written, the key is
    /// new and cannot be resumed.
    pub(crate) fn take(state: Option<&Path>, request: &str) -> Self {
        let folder = state.map(|state| state.join("pending"));
        let now = Utc::now();
        let slot = folder.and_then(|folder| lock_slot(&folder, &hash(request), now));
        let Some((path, mut file)) = slot else { return Self::given(&new_key()) };
        let key = read_key(&file, now).unwrap_or_else(|| {
            let key = new_key();
            // A key that could not be written is a key that cannot be resumed.
            let _ = write_key(&mut file, &key, now);
            key
        });
        Self { key, file: Some((path, file)) }
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

fn read_key(mut file: &File, now: DateTime<Utc>) -> Option<String> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(MAX_BYTES).read_to_string(&mut text).ok()?;
    let (key, at) = text.trim().split_once(' ')?;
    let age = now - at.parse::<DateTime<Utc>>().ok()?;
    let good = key.starts_with("rts-") && key.len() < 64 && key.bytes().all(|byte| byte.is_ascii_graphic());
    (good && age >= TimeDelta::zero() && age < MAX_AGE).then(|| key.to_owned())
}

fn write_key(file: &mut File, key: &str, now: DateTime<Utc>) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{key} {}", now.to_rfc3339())?;
    file.sync_all()
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
        let first = PendingKey::take(Some(&folder.0), "a");
        let key = first.as_str().to_owned();
        drop(first);
        let again = PendingKey::take(Some(&folder.0), "a");
        assert_eq!(again.as_str(), key);
        again.release();
        assert_ne!(PendingKey::take(Some(&folder.0), "a").as_str(), key);
    }

    #[test]
    fn two_requests_at_once_have_two_keys() {
        let folder = Folder::new();
        let (first, second) =
            (PendingKey::take(Some(&folder.0), "a"), PendingKey::take(Some(&folder.0), "a"));
        assert_ne!(first.as_str(), second.as_str());
        assert_ne!(PendingKey::take(Some(&folder.0), "b").as_str(), first.as_str());
    }

    #[test]
    fn old_or_damaged_key_is_not_resumed() {
        let folder = Folder::new();
        for text in ["rts-old 2020-01-01T00:00:00Z", "nonsense", "rts-x not-a-time", ""] {
            let first = PendingKey::take(Some(&folder.0), "a");
            let (path, _) = first.file.as_ref().unwrap();
            fs::write(path, text).unwrap();
            drop(first);
            let key = PendingKey::take(Some(&folder.0), "a");
            assert!(key.as_str().len() > 30, "{text}");
            assert!(read_key(&key.file.as_ref().unwrap().1, Utc::now()).is_some(), "{text}");
        }
    }
}
