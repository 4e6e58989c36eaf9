//! Permission checks of files that hold settings.

use std::{fs, path::Path};

use super::{ConfigError, Mode};

/// Origin of a file's path.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// An operator named it in a setting or an argument.
    Explicitly,
    /// The file was found in the working directory.
    ByPlace,
}

/// Refuses a file that other users may write, and a file found in the working directory that another user owns. Its
/// author would decide which database and which GitHub the service uses.
pub(super) fn refuse_foreign(path: &Path, named: Named, mode: Mode) -> Result<(), ConfigError> {
    let Some(data) = metadata(path, mode) else { return Ok(()) };
    let why = if others_may_write(&data) {
        "may be written by other users; chmod o-w it"
    } else if named == Named::ByPlace && !is_ours(&data) {
        "belongs to another user; name it in RTS_ENV_FILE, or work in another folder"
    } else {
        return Ok(());
    };
    Err(ConfigError::File { path: path.to_path_buf(), why: why.to_owned() })
}

/// Refuses a file with secrets that other users may read.
pub(super) fn refuse_readable(path: &Path, mode: Mode) -> Result<(), ConfigError> {
    match metadata(path, mode) {
        Some(data) if others_may_read(&data) => {
            let why = "holds secrets and may be read by other users; chmod it to 0600 or 0640";
            Err(ConfigError::File { path: path.to_path_buf(), why: why.to_owned() })
        }
        _ => Ok(()),
    }
}

/// Returns the metadata to check; `None` if the file does not exist or nothing is refused in this mode.
fn metadata(path: &Path, mode: Mode) -> Option<fs::Metadata> {
    fs::metadata(path).ok().filter(|_| mode == Mode::Production)
}

#[cfg(unix)]
fn others_may_write(data: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    data.permissions().mode() & 0o002 != 0
}

#[cfg(unix)]
fn others_may_read(data: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    data.permissions().mode() & 0o004 != 0
}

#[cfg(unix)]
fn is_ours(data: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    data.uid() == 0 || data.uid() == nix::unistd::geteuid().as_raw()
}

#[cfg(not(unix))]
fn others_may_write(_: &fs::Metadata) -> bool {
    false
}

#[cfg(not(unix))]
fn others_may_read(_: &fs::Metadata) -> bool {
    false
}

#[cfg(not(unix))]
fn is_ours(_: &fs::Metadata) -> bool {
    true
}
