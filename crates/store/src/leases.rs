//! Named leases for work that only one process may do.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use crate::{Result, jobs::seconds};

/// Lease queries on one connection.
#[derive(Debug)]
pub struct Leases<'c>(pub(crate) &'c mut PgConnection);

/// The state of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRow {
    /// Current or last holder.
    pub holder: String,
    /// Number of the holder; it grows with each change.
    pub term: i64,
    /// Time of the last renewal.
    pub renewed_at: DateTime<Utc>,
    /// Whether the lease has not expired.
    pub holds: bool,
}

impl Leases<'_> {
    /// Takes a free lease, or renews the holder's own, for `life` from now. Returns its term, or `None` if another
    /// process has it.
    pub async fn acquire(&mut self, name: &str, holder: &str, life: TimeDelta) -> Result<Option<i64>> {
        Ok(sqlx::query_scalar!(
            "INSERT INTO scheduler_leases (name, holder, term, renewed_at, expires_at)
             VALUES ($1, $2, 1, clock_timestamp(), clock_timestamp() + make_interval(secs => $3))
             ON CONFLICT (name) DO UPDATE SET holder = $2, renewed_at = clock_timestamp(),
                term = scheduler_leases.term + (scheduler_leases.holder <> $2)::int,
                expires_at = clock_timestamp() + make_interval(secs => $3)
             WHERE scheduler_leases.holder = $2 OR scheduler_leases.expires_at <= clock_timestamp()
             RETURNING term",
            name,
            holder,
            seconds(life),
        )
        .fetch_optional(&mut *self.0)
        .await?)
    }

    /// Ends a lease at once, so that the next holder need not wait until it expires.
    pub async fn release(&mut self, name: &str, holder: &str) -> Result<()> {
        sqlx::query!(
            "UPDATE scheduler_leases SET expires_at = clock_timestamp() WHERE name = $1 AND holder = $2",
            name,
            holder
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Returns the lease, if it was ever taken.
    pub async fn get(&mut self, name: &str) -> Result<Option<LeaseRow>> {
        Ok(sqlx::query_as!(
            LeaseRow,
            r#"SELECT holder, term, renewed_at, expires_at > clock_timestamp() AS "holds!"
             FROM scheduler_leases WHERE name = $1"#,
            name
        )
        .fetch_optional(&mut *self.0)
        .await?)
    }
}
