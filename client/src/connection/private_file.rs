//! Files that only their owner may read.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

/// Most bytes of a file of ours.
const MAX_BYTES: u64 = 256 * 1024;

/// Reads a text file of bounded length. Returns `None` if it does not exist.
///
/// # Errors
/// The file cannot be read, is too long, or is not text.
pub(crate) fn read_bounded(path: &Path) -> io::Result<Option<String>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    file.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is too long"));
    }
    Ok(Some(text))
}

/// Reads a text file of bounded length that only its owner may read. Returns `None` if it does not exist.
///
/// # Errors
/// Others may read the file, or it cannot be read.
pub(crate) fn read_private(path: &Path) -> io::Result<Option<String>> {
    let text = read_bounded(path)?;
    if text.is_some() && is_open_to_others(path)? {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "other users may read the file"));
    }
    Ok(text)
}

/// Returns whether users other than the owner may read or change the file.
///
/// # Errors
/// The file's metadata cannot be read.
pub(crate) fn is_open_to_others(path: &Path) -> io::Result<bool> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o077 != 0)
}

/// Returns whether users other than the owner may change the file.
///
/// # Errors
/// The file's metadata cannot be read.
pub(crate) fn is_writable_by_others(path: &Path) -> io::Result<bool> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o022 != 0)
}

/// Creates a folder and those above it, readable by the owner alone.
///
/// # Errors
/// The folder cannot be created.
pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Creates a new file with mode 0600. An existing file is not touched.
///
/// # Errors
/// The file exists or cannot be created.
pub(crate) fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Replaces a file as a whole, with mode 0600. The file survives a power failure.
///
/// # Errors
/// The folder or the file cannot be written.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    replace_after(path, text, File::sync_all)
}

/// Replaces a file as a whole, with mode 0600, without waiting for the disk. A power failure may lose the text.
///
/// # Errors
/// The folder or the file cannot be written.
pub(crate) fn replace_at_once(path: &Path, text: &str) -> io::Result<()> {
    replace_after(path, text, |_| Ok(()))
}

fn replace_after(path: &Path, text: &str, finish: impl Fn(&File) -> io::Result<()>) -> io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    create_folder(folder)?;
    let unfinished = path.with_extension(format!("{}.new", uuid::Uuid::new_v4().simple()));
    let mut file = create_new(&unfinished)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| finish(&file));
    let done = written.and_then(|()| fs::rename(&unfinished, path));
    if done.is_err() {
        // The first failure is the one to report.
        let _ = fs::remove_file(&unfinished);
    }
    done
}

/// Lock of a folder, held until it is dropped.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

/// Waits for the lock, so that two commands do not change a file at once.
///
/// # Errors
/// The lock file cannot be created.
pub(crate) fn lock_folder(folder: &Path) -> io::Result<FolderLock> {
    create_folder(folder)?;
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(folder.join("lock"))?;
    file.lock()?;
    Ok(FolderLock { _file: file })
}
