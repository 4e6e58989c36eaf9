//! Errors of private servers.

use std::{io, path::PathBuf};

/// Reason a private server could not be started, reached or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No folder with `initdb` and `postgres` was found.
    #[error("no PostgreSQL server programs found: apt install postgresql, or brew install postgresql@17")]
    NoPostgres,
    /// No Redis or Valkey server program was found.
    #[error("no Redis or Valkey server program found: apt install redis-tools, or brew install valkey")]
    NoRedis,
    /// The version of PostgreSQL is not supported.
    #[error("PostgreSQL in {} is {version:?}; version 15 or newer is needed", path.display())]
    OldPostgres {
        /// Folder of the programs.
        path: PathBuf,
        /// Output of `postgres --version`.
        version: String,
    },
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    File {
        /// The operation, as a verb: `create`, `copy`, `lock`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// A program could not be started.
    #[error("cannot run {}", program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// A server ended during its start or did not answer in time.
    #[error("{server} {reason}\n{log}")]
    NotReady {
        /// `postgres`, `redis` or `initdb`.
        server: &'static str,
        /// Description of the failure.
        reason: &'static str,
        /// Last lines of the server's log.
        log: String,
    },
    /// The servers' account may not enter a folder on the way to a path it needs.
    #[error(
        "the servers run as the account {account}, which may not enter {}, on the way to {}: use another folder, or allow \
         it with: chmod o+x {}", folder.display(), path.display(), folder.display()
    )]
    Closed {
        /// The account, by name or number.
        account: String,
        /// First folder on the way that the account may not enter.
        folder: PathBuf,
        /// Path that the account needs to reach.
        path: PathBuf,
    },
    /// Another major version of PostgreSQL created the data folder.
    #[error("{} was made by PostgreSQL {made_by}; the programs found are {found}: use those of {made_by}, or begin anew \
             with an empty folder", path.display())]
    OtherPostgres {
        /// The data folder.
        path: PathBuf,
        /// Major version that created it.
        made_by: String,
        /// Output of `postgres --version`.
        found: String,
    },
    /// Another running stack uses this data folder.
    #[error("{} is in use by another run", .0.display())]
    InUse(PathBuf),
    /// A killed server did not end.
    #[error("{0} does not stop")]
    Stuck(&'static str),
    /// The server was stopped or killed and not restarted.
    #[error("{0} is not running")]
    NotRunning(&'static str),
    /// The connection to a server broke, or Redis refused a command.
    #[error("cannot talk to a server")]
    Talk(#[from] io::Error),
    /// PostgreSQL refused a statement; the text is PostgreSQL's.
    #[error("PostgreSQL: {0}")]
    Sql(String),
    /// A script of [`Options::scripts`](crate::Options::scripts) failed and was rolled back.
    #[error("cannot apply {}", path.display())]
    Script {
        /// The file.
        path: PathBuf,
        /// PostgreSQL's error.
        source: Box<Error>,
    },
    /// The servers run but do not agree with each other.
    #[error("no {0} within a minute")]
    NoAgreement(&'static str),
    /// No port is free.
    #[error("no free port for a server")]
    NoPort,
    /// No command to run was given.
    #[error("no command to run")]
    NoCommand,
}

impl Error {
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
