//! The account that runs the servers. PostgreSQL refuses to run as root.

use std::{
    ffi::OsString,
    os::unix::{ffi::OsStringExt, fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::unistd::{User, geteuid};

use crate::{Error, keeper};

/// Account of the server processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    /// The account of the calling process.
    Own,
    /// Another user and group, because the calling process is root.
    Other { uid: u32, gid: u32 },
}

/// Traditional id of the unprivileged user, for images without a user list.
const NOBODY_UID: u32 = 65_534;

impl Account {
    pub(crate) fn for_servers() -> Self {
        if !geteuid().is_root() {
            return Self::Own;
        }
        let known = ["postgres", "nobody"].iter().find_map(|name| User::from_name(name).ok().flatten());
        known.map_or(Self::Other { uid: NOBODY_UID, gid: NOBODY_UID }, |user| Self::Other {
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
        })
    }

    /// Returns whether files with this owner were made by this account or by the calling process.
    pub(crate) fn owns(self, uid: u32) -> bool {
        uid == geteuid().as_raw() || matches!(self, Self::Other { uid: other, .. } if other == uid)
    }

    /// Checks that the account may enter every folder on the way to `path`, which may not exist yet. A process of the
    /// account tries it, because modes do not show access lists and mounts.
    ///
    /// # Errors
    /// `Closed` with the first folder that the account may not enter.
    pub(crate) fn check_reachable(self, path: &Path) -> Result<(), Error> {
        const TRY: &str =
            r#"for folder in "$@"; do [ -x "$folder" ] || { printf %s "$folder"; exit 1; }; done"#;
        let Self::Other { uid, .. } = self else { return Ok(()) };
        let mut folders: Vec<&Path> = path.ancestors().filter(|folder| folder.is_dir()).collect();
        folders.reverse();
        let mut command = keeper::command(Path::new("/bin/sh"), Path::new("/"), self);
        command.args(["-c", TRY, "try"]).args(folders).stdin(Stdio::null());
        let output = command.output().map_err(|source| Error::Run { program: "/bin/sh".into(), source })?;
        if output.status.success() {
            return Ok(());
        }
        let known = User::from_uid(uid.into()).ok().flatten();
        Err(Error::Closed {
            account: known.map_or_else(|| uid.to_string(), |user| user.name),
            folder: PathBuf::from(OsString::from_vec(output.stdout)),
            path: path.to_path_buf(),
        })
    }

    pub(crate) fn take_ownership(self, path: &Path) -> Result<(), Error> {
        match self {
            Self::Own => Ok(()),
            Self::Other { uid, gid } => {
                chown(path, Some(uid), Some(gid)).map_err(Error::file("change the owner of", path))
            }
        }
    }

    pub(crate) fn apply(self, command: &mut Command) {
        if let Self::Other { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
    }
}
