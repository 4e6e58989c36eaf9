use std::{io, path::PathBuf};

/// Why a private server could not be started, reached or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No folder with `initdb` and `postgres` was found.
    #[error("no PostgreSQL server programs found: apt install postgresql, or brew install postgresql@17")]
    NoPostgres,
    /// No Redis or Valkey server program was found.
    #[error("no Redis or Valkey server program found: apt install redis-tools, or brew install valkey")]
    NoRedis,
    /// PostgreSQL is there, but not a version the service supports.
    #[error("PostgreSQL in {} is {version:?}; version 15 or newer is needed", path.display())]
    OldPostgres {
        /// Folder of the programs.
        path: PathBuf,
        /// What `postgres --version` said.
        version: String,
    },
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    File {
        /// A verb: `create`, `copy`, `lock`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A program could not be run at all.
    #[error("cannot run {}", program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A server ended while starting, or did not answer in time.
    #[error("{server} {reason}\n{log}")]
    NotReady {
        /// `postgres`, `redis` or `initdb`.
        server: &'static str,
        /// What was seen.
        reason: &'static str,
        /// The last lines of its log.
        log: String,
    },
    /// The servers' account lacks the permission to enter a folder on the way to what it needs.
    #[error(
        "the servers run as the account {account}, which may not enter {}, on the way to {}: use another folder, or allow \
         it with: chmod o+x {}", folder.display(), path.display(), folder.display()
    )]
    Closed {
        /// The account, by name or number.
        account: String,
        /// The first folder on the way that is closed.
        folder: PathBuf,
        /// What the account needs to reach.
        path: PathBuf,
    },
    /// The data folder was made by another major version of PostgreSQL.
    #[error("{} was made by PostgreSQL {made_by}; the programs found are {found}: use those of {made_by}, or begin anew \
             with an empty folder", path.display())]
    OtherPostgres {
        /// The data folder.
        path: PathBuf,
        /// Its major version.
        made_by: String,
        /// What `postgres --version` said.
        found: String,
    },
    /// Another running stack uses the same data folder.
    #[error("{} is in use by another run", .0.display())]
    InUse(PathBuf),
    /// A server did not go away although it was killed.
    #[error("{0} does not stop")]
    Stuck(&'static str),
    /// The server has been stopped or killed and not restarted.
    #[error("{0} is not running")]
    NotRunning(&'static str),
    /// The connection to a server broke, or Redis refused a command.
    #[error("cannot talk to a server")]
    Talk(#[from] io::Error),
    /// PostgreSQL refused a statement; the text is PostgreSQL's own.
    #[error("PostgreSQL: {0}")]
    Sql(String),
    /// A script of [`Options::scripts`](crate::Options::scripts) failed; nothing of it was done.
    #[error("cannot apply {}", path.display())]
    Script {
        /// The file.
        path: PathBuf,
        /// PostgreSQL's answer.
        source: Box<Error>,
    },
    /// Servers run, but do not get into step with each other.
    #[error("no {0} within a minute")]
    NoAgreement(&'static str),
    /// No port is free.
    #[error("no free port for a server")]
    NoPort,
    /// No command was given to run.
    #[error("no command to run")]
    NoCommand,
}

impl Error {
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
