//! Which runner software runs, and until when GitHub takes it.

use chrono::{DateTime, Utc};
use domain::{CutOff, InstallationId, RunnerVersion};
use sqlx::PgConnection;

use crate::{Listed, Result};

/// Versions shown at most.
const MAX_ROWS: i64 = 1000;

/// The versions, on one connection.
#[derive(Debug)]
pub struct Versions<'c>(pub(crate) &'c mut PgConnection);

/// One version in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRow {
    /// Where.
    pub installation: String,
    /// Which.
    pub version: String,
    /// Live runners of which GitHub told it.
    pub runners: i64,
    /// Live runners of which a caller stated it, and GitHub has told nothing yet.
    pub stated: i64,
    /// New runners of it may be registered until then.
    pub registration_deprecates_at: Option<DateTime<Utc>>,
    /// Registered runners of it may run until then.
    pub runtime_deprecates_at: Option<DateTime<Utc>>,
    /// When GitHub was asked.
    pub checked_at: Option<DateTime<Utc>>,
    /// The state that was told last.
    pub told: Option<String>,
    /// The stores' clock when it was read.
    pub now: DateTime<Utc>,
}

impl VersionRow {
    /// Until when GitHub takes it.
    pub const fn cut_off(&self) -> CutOff {
        CutOff { registration: self.registration_deprecates_at, runtime: self.runtime_deprecates_at }
    }
}

impl Versions<'_> {
    /// Notes what GitHub told of runners, by its ids; only what changed is written. Answers how many rows that was.
    pub async fn seen(
        &mut self,
        installation: &InstallationId,
        (ids, versions): (&[i64], &[String]),
    ) -> Result<u64> {
        let done = sqlx::query!(
            "UPDATE runners SET version = seen.version
             FROM unnest($2::bigint[], $3::text[]) AS seen(id, version)
             WHERE installation = $1 AND github_runner_id = seen.id AND status <> 'deleted'
                AND runners.version IS DISTINCT FROM seen.version",
            installation.as_str(),
            ids,
            versions,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected())
    }

    /// Versions in use of which GitHub was not asked within a day, the most used first.
    pub async fn due(&mut self, installation: &InstallationId, most: i64) -> Result<Vec<String>> {
        Ok(sqlx::query_scalar!(
            r#"SELECT coalesce(version, stated_version) AS "version!" FROM runners
             WHERE installation = $1 AND status <> 'deleted' AND coalesce(version, stated_version) IS NOT NULL
                AND NOT EXISTS (SELECT FROM runner_versions known WHERE known.installation = $1
                    AND known.version = coalesce(runners.version, stated_version)
                    AND checked_at > now() - interval '1 day')
             GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT $2"#,
            installation.as_str(),
            most,
        )
        .fetch_all(&mut *self.0)
        .await?)
    }

    /// Notes what GitHub said.
    pub async fn record(
        &mut self,
        installation: &InstallationId,
        version: &str,
        cut_off: CutOff,
    ) -> Result<()> {
        sqlx::query!(
            "INSERT INTO runner_versions (installation, version, registration_deprecates_at, runtime_deprecates_at,
                checked_at) VALUES ($1, $2, $3, $4, now())
             ON CONFLICT (installation, version) DO UPDATE SET
                registration_deprecates_at = $3, runtime_deprecates_at = $4, checked_at = now()",
            installation.as_str(),
            version,
            cut_off.registration,
            cut_off.runtime,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Until when GitHub takes a version, as far as it was asked, and the stores' clock.
    pub async fn cut_off(
        &mut self,
        installation: &InstallationId,
        version: &RunnerVersion,
    ) -> Result<Option<(CutOff, DateTime<Utc>)>> {
        let row = sqlx::query!(
            r#"SELECT registration_deprecates_at, runtime_deprecates_at, now() AS "now!" FROM runner_versions
             WHERE installation = $1 AND version = $2"#,
            installation.as_str(),
            version.as_str(),
        )
        .fetch_optional(&mut *self.0)
        .await?;
        Ok(row.map(|row| {
            let cut_off =
                CutOff { registration: row.registration_deprecates_at, runtime: row.runtime_deprecates_at };
            (cut_off, row.now)
        }))
    }

    /// Notes that a state was told. False: it was told before.
    pub async fn mark_reported(&mut self, installation: &str, version: &str, state: &str) -> Result<bool> {
        let done = sqlx::query!(
            "UPDATE runner_versions SET told = $3
             WHERE installation = $1 AND version = $2 AND told IS DISTINCT FROM $3",
            installation,
            version,
            state,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Forgets versions nobody has used for a month.
    pub async fn forget(&mut self) -> Result<u64> {
        let done = sqlx::query!("DELETE FROM runner_versions WHERE checked_at < now() - interval '30 days'")
            .execute(&mut *self.0)
            .await?;
        Ok(done.rows_affected())
    }

    /// Every version in use, by installation, the most used first; at most 1,000.
    pub async fn in_use(&mut self) -> Result<Listed<VersionRow>> {
        let items = sqlx::query_as!(
            VersionRow,
            r#"SELECT used.installation AS "installation!", used.version AS "version!", used.runners AS "runners!",
                used.stated AS "stated!", registration_deprecates_at AS "registration_deprecates_at?",
                runtime_deprecates_at AS "runtime_deprecates_at?", checked_at AS "checked_at?", told AS "told?",
                now() AS "now!"
             FROM (SELECT installation, coalesce(version, stated_version) AS version, count(version) AS runners,
                    count(*) FILTER (WHERE version IS NULL) AS stated
                FROM runners WHERE status <> 'deleted' AND coalesce(version, stated_version) IS NOT NULL
                GROUP BY 1, 2) used
                LEFT JOIN runner_versions known ON known.installation = used.installation
                    AND known.version = used.version
             ORDER BY used.installation, used.runners + used.stated DESC, used.version LIMIT $1"#,
            MAX_ROWS
        )
        .fetch_all(&mut *self.0)
        .await?;
        let total = i64::try_from(items.len()).unwrap_or(i64::MAX);
        Ok(Listed::counted(items, total, None))
    }
}
