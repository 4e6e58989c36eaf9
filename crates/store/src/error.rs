//! What can go wrong with the database, as far as callers act on it.

use std::fmt::Display;

/// Why a call to the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached or did not answer in time; later it may.
    #[error("the database is unavailable")]
    Unavailable(#[source] sqlx::Error),
    /// A unique constraint or index, by its name in `migrations/`.
    #[error("the constraint {0} forbids it")]
    Conflict(String),
    /// A row that cannot be a domain value.
    #[error("a row is not what it should be: {0}")]
    Inconsistent(String),
    /// A statement failed.
    #[error("a statement failed")]
    Database(#[source] sqlx::Error),
    /// A database role is missing, or may do what it must not: says which and what.
    #[error("{0}")]
    Role(String),
    /// The tables could not be brought up to date.
    #[error("the migration failed")]
    Migration(#[from] sqlx::migrate::MigrateError),
}

impl StoreError {
    /// The constraint that forbade it, if one did.
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Conflict(name) => Some(name),
            _ => None,
        }
    }

    /// Whether a statement was cut off because it took too long.
    pub fn is_timeout(&self) -> bool {
        let (Self::Unavailable(error) | Self::Database(error)) = self else { return false };
        error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() == Some("57014")
    }

    /// Whether another transaction stood in the way: taking the same step again may succeed at once.
    pub fn is_conflict_in_time(&self) -> bool {
        let (Self::Unavailable(error) | Self::Database(error)) = self else { return false };
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        matches!(code.as_deref(), Some("40001" | "40P01" | "55P03"))
    }

    pub(crate) fn inconsistent(why: impl Display) -> Self {
        Self::Inconsistent(why.to_string())
    }
}

/// SQLSTATEs after which waiting helps, whole classes and single ones: connection, resources, operator intervention;
/// serialisation failure, deadlock, lock time-out, a read-only server (it was the primary a moment ago), the session's
/// own time-outs, a snapshot that is too old, and faults of the machine below.
const PASSING: &[&str] =
    &["08", "53", "57", "58", "40001", "40P01", "55P03", "55006", "25006", "25P03", "25P04", "72000"];

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(inner) if inner.is_unique_violation() => {
                Self::Conflict(inner.constraint().unwrap_or_default().to_owned())
            }
            sqlx::Error::Database(inner) => {
                let passing =
                    inner.code().is_some_and(|code| PASSING.iter().any(|class| code.starts_with(class)));
                if passing { Self::Unavailable(error) } else { Self::Database(error) }
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable(error),
            _ => Self::Database(error),
        }
    }
}
