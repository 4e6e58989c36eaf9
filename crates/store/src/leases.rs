//! Who does what only one should do.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use crate::{Result, jobs::seconds};

/// The leases, on one connection.
#[derive(Debug)]
pub struct Leases<'c>(pub(crate) &'c mut PgConnection);

/// A lease as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRow {
    /// Who has, or last had it.
    pub holder: String,
    /// Counts holders.
    pub term: i64,
    /// Last renewed.
    pub renewed_at: DateTime<Utc>,
    /// Whether it still holds.
    pub holds: bool,
}

impl Leases<'_> {
    /// Takes a free lease, or renews one's own, for `life` from now on. Answers its term; none: another has it.
    pub async fn take(&mut self, name: &str, holder: &str, life: TimeDelta) -> Result<Option<i64>> {
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

    /// Gives a lease up, so that the next one need not wait for its end.
    pub async fn give_up(&mut self, name: &str, holder: &str) -> Result<()> {
        sqlx::query!(
            "UPDATE scheduler_leases SET expires_at = clock_timestamp() WHERE name = $1 AND holder = $2",
            name,
            holder
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// The lease, if anybody ever had it.
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
