//! Folders of the servers' account, and the locks that show whether a run is alive.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use nix::fcntl::{Flock, FlockArg};

use crate::{Error, account::Account};

/// Parent of the socket folders. It is short because a socket's path may have 103 bytes on macOS.
pub(crate) const PARENT: &str = "/tmp";
/// Prefix of the folder names; the process id and a counter follow.
pub(crate) const PREFIX: &str = "rts-dev-";
const LOCK: &str = "lock";

/// Lock held as long as a folder is in use; the system releases it when the process ends.
pub(crate) type Lock = Flock<File>;

/// Creates and locks a new folder for sockets. An existing name is skipped, never reused.
pub(crate) fn create_private(account: Account) -> Result<(PathBuf, Lock), Error> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = Path::new(PARENT).join(format!("{PREFIX}{}-{n}", std::process::id()));
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => {
                let lock = lock(&path)?;
                account.take_ownership(&path)?;
                return Ok((path, lock));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::file("create", path)(error)),
        }
    }
}

/// Creates a folder with mode 0700 that belongs to `account`. An existing folder of another user and a link are
/// refused: any user may create folders in the parent.
pub(crate) fn create(path: &Path, account: Account) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(Error::file("create", path))?;
    let found = fs::symlink_metadata(path).map_err(Error::file("look at", path))?;
    if !found.is_dir() || !account.owns(found.uid()) {
        return Err(Error::file("use", path)(io::ErrorKind::PermissionDenied.into()));
    }
    account.take_ownership(path)
}

/// Locks a folder, or returns `InUse` at once.
pub(crate) fn lock(folder: &Path) -> Result<Lock, Error> {
    let path = folder.join(LOCK);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(Error::file("open", &path))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        nix::errno::Errno::EWOULDBLOCK => Error::InUse(folder.to_path_buf()),
        other => Error::file("lock", path)(other.into()),
    })
}

/// Copies a folder recursively, giving each copy to `account`.
pub(crate) fn copy(from: &Path, to: &Path, account: Account) -> Result<(), Error> {
    create(to, account)?;
    for entry in fs::read_dir(from).map_err(Error::file("read", from))? {
        let entry = entry.map_err(Error::file("read", from))?;
        let target = to.join(entry.file_name());
        if entry.file_type().map_err(Error::file("read", from))?.is_dir() {
            copy(&entry.path(), &target, account)?;
        } else {
            fs::copy(entry.path(), &target).map_err(Error::file("copy to", &target))?;
            account.take_ownership(&target)?;
        }
    }
    Ok(())
}

/// Returns the last lines of a log, for an error message.
pub(crate) fn tail(log: &Path) -> String {
    const LINES: usize = 12;
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
