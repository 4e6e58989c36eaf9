//! Whose processes the servers are. PostgreSQL refuses to run as root.

use std::{os::unix::fs::chown, os::unix::process::CommandExt, path::Path, process::Command};

use nix::unistd::{User, geteuid};

use crate::Error;

/// The account the servers run under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    /// The caller's own.
    Own,
    /// The caller is root: this user and group instead.
    Other { uid: u32, gid: u32 },
}

/// The traditional number of `nobody`, for images without a user list.
const NOBODY: u32 = 65_534;

impl Account {
    pub(crate) fn pick() -> Self {
        if !geteuid().is_root() {
            return Self::Own;
        }
        let known = ["postgres", "nobody"].iter().find_map(|name| User::from_name(name).ok().flatten());
        known.map_or(Self::Other { uid: NOBODY, gid: NOBODY }, |user| Self::Other {
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
        })
    }

    /// True for files this account, or the caller, has made.
    pub(crate) fn owns(self, uid: u32) -> bool {
        uid == geteuid().as_raw() || matches!(self, Self::Other { uid: other, .. } if other == uid)
    }

    pub(crate) fn give(self, path: &Path) -> Result<(), Error> {
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
