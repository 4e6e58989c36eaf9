//! Pauses by admins, with their reasons. The queue has a copy of each, which it may lose.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{InstallationId, Lane, PauseScope};
use sqlx::PgConnection;

use crate::{Result, StoreError, jobs::seconds, readable::keep_readable};

/// Pause queries on one connection.
#[derive(Debug)]
pub struct Pauses<'c>(pub(crate) &'c mut PgConnection);

/// A pause to be written.
#[derive(Clone, Debug)]
pub struct NewPause<'a> {
    /// The paused object.
    pub scope: &'a PauseScope,
    /// Time until its end.
    pub duration: TimeDelta,
    /// Reason the admin gave.
    pub reason: Option<&'a str>,
    /// Identity of the admin.
    pub by: &'a str,
}

/// A pause that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PauseRow {
    /// The paused object.
    pub scope: PauseScope,
    /// Reason the admin gave.
    pub reason: Option<String>,
    /// Identity of the admin.
    pub by: String,
    /// Time at which the admin paused it.
    pub paused_at: DateTime<Utc>,
    /// Its end.
    pub ends_at: DateTime<Utc>,
    /// Time until then, by the database's clock.
    pub left: TimeDelta,
}

/// Returns the key of a pause.
fn key(scope: &PauseScope) -> String {
    match scope {
        PauseScope::Installation(installation) => format!("installation:{installation}"),
        PauseScope::Lane(lane) => format!("lane:{lane}"),
    }
}

/// Reads the key of a pause.
fn read_key(key: &str) -> Result<PauseScope> {
    match key.split_once(':') {
        Some(("installation", name)) => {
            let installation: InstallationId = name.parse().map_err(StoreError::inconsistent)?;
            Ok(PauseScope::Installation(installation))
        }
        Some(("lane", name)) => {
            let lane: Lane = name.parse().map_err(StoreError::inconsistent)?;
            Ok(PauseScope::Lane(lane))
        }
        _ => Err(StoreError::inconsistent(format!("`{key}` is not the key of a pause"))),
    }
}

impl Pauses<'_> {
    /// Writes a pause. A pause that ends later stays as it is, with its reason; an ended one is replaced.
    pub async fn set(&mut self, pause: &NewPause<'_>) -> Result<()> {
        sqlx::query!(
            "INSERT INTO pauses (scope, reason, paused_by, ends_at)
             VALUES ($1, $2, $3, now() + make_interval(secs => $4))
             ON CONFLICT (scope) DO UPDATE SET reason = EXCLUDED.reason, paused_by = EXCLUDED.paused_by,
                paused_at = now(), ends_at = EXCLUDED.ends_at
             WHERE pauses.ends_at <= EXCLUDED.ends_at",
            key(pause.scope),
            pause.reason,
            pause.by,
            seconds(pause.duration),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Removes a pause. Returns whether there was one that had not ended.
    pub async fn remove(&mut self, scope: &PauseScope) -> Result<bool> {
        let was = sqlx::query_scalar!(
            r#"DELETE FROM pauses WHERE scope = $1 RETURNING ends_at > now() AS "holds!""#,
            key(scope)
        )
        .fetch_optional(&mut *self.0)
        .await?;
        Ok(was.unwrap_or(false))
    }

    /// Returns the pause of this object, if it has not ended.
    pub async fn get(&mut self, scope: &PauseScope) -> Result<Option<PauseRow>> {
        let wanted = key(scope);
        let all = self.list().await?;
        Ok(all.into_iter().find(|pause| key(&pause.scope) == wanted))
    }

    /// Returns the pauses that have not ended, at most 1,000.
    pub async fn list(&mut self) -> Result<Vec<PauseRow>> {
        let rows = sqlx::query!(
            r#"SELECT scope, reason, paused_by, paused_at, ends_at,
                extract(epoch FROM ends_at - clock_timestamp())::float8 AS "left!"
             FROM pauses WHERE ends_at > clock_timestamp() ORDER BY scope LIMIT 1000"#
        )
        .fetch_all(&mut *self.0)
        .await?;
        let read = rows.into_iter().map(|row| {
            Ok(PauseRow {
                scope: read_key(&row.scope)?,
                reason: row.reason,
                by: row.paused_by,
                paused_at: row.paused_at,
                ends_at: row.ends_at,
                left: span(row.left),
            })
        });
        Ok(read.filter_map(keep_readable).collect())
    }

    /// Deletes the pauses that ended a day ago. Returns how many.
    pub async fn forget(&mut self) -> Result<u64> {
        let done = sqlx::query!("DELETE FROM pauses WHERE ends_at < now() - interval '1 day'")
            .execute(&mut *self.0)
            .await?;
        Ok(done.rows_affected())
    }
}

#[expect(clippy::cast_possible_truncation, reason = "at most 30 days in milliseconds")]
fn span(seconds: f64) -> TimeDelta {
    TimeDelta::milliseconds((seconds * 1000.0) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_lead_back_to_their_scopes() {
        let games = PauseScope::Installation("games".parse().unwrap());
        for scope in [games, PauseScope::Lane(Lane::Drift)] {
            assert_eq!(read_key(&key(&scope)).unwrap(), scope);
        }
        for unknown in ["lane:night", "installation:Ä", "drift", "queue:x"] {
            assert!(read_key(unknown).is_err(), "{unknown}");
        }
    }
}
