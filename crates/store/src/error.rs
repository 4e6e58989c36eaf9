//! Errors of the store, by what a caller can do about them.

use std::{fmt::Display, time::Duration};

use domain::tls_advice;
use sqlx::migrate::MigrateError;

/// Why a call to the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached or did not answer in time; a later attempt may succeed.
    #[error("the database is unavailable{}", advice(.0))]
    Unavailable(#[source] sqlx::Error),
    /// A unique constraint or index was violated; its name is as in `migrations/`.
    #[error("violates the constraint {0}")]
    Conflict(String),
    /// A stored row has no valid domain value.
    #[error("a stored row is invalid: {0}")]
    Inconsistent(String),
    /// A statement failed.
    #[error("a database statement failed")]
    Database(#[source] sqlx::Error),
    /// A database role is missing or has privileges it must not have; the text says which.
    #[error("{0}")]
    Role(String),
    /// A migration did not get the lock of a table in time. It can be tried again when the transaction that uses the
    /// table has ended.
    #[error(
        "migration {version} waited {} s for a table that a long transaction uses; end that transaction \
         (pg_stat_activity) and start again",
        .waited.as_secs()
    )]
    MigrationBlocked {
        /// Number of the migration.
        version: i64,
        /// Time for which it waited.
        waited: Duration,
        /// The last error.
        source: MigrateError,
    },
    /// The migrations could not be applied.
    #[error("the migration failed")]
    Migration(#[source] MigrateError),
}

impl StoreError {
    /// Returns the name of the violated constraint, if one was violated.
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Conflict(name) => Some(name),
            _ => None,
        }
    }

    /// Returns whether a statement was cancelled because it took too long.
    pub fn is_timeout(&self) -> bool {
        let (Self::Unavailable(error) | Self::Database(error)) = self else { return false };
        error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() == Some("57014")
    }

    /// Returns whether a concurrent transaction caused the error. An immediate retry may succeed.
    pub fn is_transaction_conflict(&self) -> bool {
        let (Self::Unavailable(error) | Self::Database(error)) = self else { return false };
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        matches!(code.as_deref(), Some("40001" | "40P01" | "55P03"))
    }

    pub(crate) fn inconsistent(why: impl Display) -> Self {
        Self::Inconsistent(why.to_string())
    }
}

/// Returns what is wrong with the server's TLS, as the end of a sentence.
fn advice(error: &sqlx::Error) -> String {
    tls_advice(error).map_or_else(String::new, |advice| format!(": {advice}"))
}

/// SQLSTATEs and classes of them after which waiting helps. Classes: connection, resources, operator intervention,
/// system error. Single ones: serialisation failure, deadlock, lock time-out, object in use, a read-only server (a
/// former primary), the session's time-outs, a snapshot that is too old.
const RETRYABLE_SQLSTATES: &[&str] =
    &["08", "53", "57", "58", "40001", "40P01", "55P03", "55006", "25006", "25P03", "25P04", "72000"];

/// Returns whether waiting helps.
fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(inner) => {
            inner.code().is_some_and(|code| RETRYABLE_SQLSTATES.iter().any(|class| code.starts_with(class)))
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(inner) if inner.is_unique_violation() => {
                Self::Conflict(inner.constraint().unwrap_or_default().to_owned())
            }
            _ if is_transient(&error) => Self::Unavailable(error),
            _ => Self::Database(error),
        }
    }
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(inner) | MigrateError::ExecuteMigration(inner, _)
                if is_transient(&inner) =>
            {
                Self::Unavailable(inner)
            }
            error => Self::Migration(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn broken_connection() -> sqlx::Error {
        sqlx::Error::Io(io::ErrorKind::UnexpectedEof.into())
    }

    #[test]
    fn migrations_cut_off_by_a_broken_connection_can_be_repeated() {
        for error in [
            MigrateError::Execute(broken_connection()),
            MigrateError::ExecuteMigration(broken_connection(), 7),
        ] {
            assert!(matches!(StoreError::from(error), StoreError::Unavailable(sqlx::Error::Io(_))));
        }
    }

    #[test]
    fn migrations_that_fail_by_themselves_stay_failed() {
        for error in [
            MigrateError::VersionMismatch(7),
            MigrateError::Execute(sqlx::Error::RowNotFound),
            MigrateError::ExecuteMigration(sqlx::Error::RowNotFound, 7),
        ] {
            assert!(matches!(StoreError::from(error), StoreError::Migration(_)));
        }
    }
}
