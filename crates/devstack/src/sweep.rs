//! Cleanup after killed runs.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use nix::{sys::signal::Signal, unistd::Pid};

use crate::{account::Account, folder, postgres, process, redis};

/// Ends the servers of dead runs and removes their folders. A run is dead if its process has ended *and* its lock is
/// free: the process id alone may be reused or belong to another container.
pub(crate) fn dead_runs(account: Account) {
    for entry in fs::read_dir(folder::PARENT).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(folder::PREFIX)) else { continue };
        let Some(pid) = rest.split('-').next().and_then(|number| number.parse().ok()) else { continue };
        let ours =
            fs::symlink_metadata(entry.path()).is_ok_and(|meta| meta.is_dir() && account.owns(meta.uid()));
        if ours && !process::alive(Pid::from_raw(pid)) {
            remove(&entry.path());
        }
    }
}

/// Returns the pid files of a stack's Redis and of a group's servers.
fn redis_pid_files(dir: &Path) -> Vec<PathBuf> {
    let is_one = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("redis") && path.extension().is_some_and(|end| end == "pid")
    };
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(is_one).collect()
}

fn remove(dir: &Path) {
    let Ok(lock) = folder::lock(dir) else { return };
    let gone = process::end_orphan(&dir.join(postgres::SOCKET_LOCK), postgres::NAMES, Signal::SIGINT)
        && redis_pid_files(dir).iter().all(|file| process::end_orphan(file, redis::NAMES, Signal::SIGTERM));
    if gone {
        // Another user's folders cannot be removed; they are small.
        let _ = fs::remove_dir_all(dir);
    }
    drop(lock);
}
