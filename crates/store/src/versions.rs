//! Versions of the runner software in use, and the dates after which GitHub rejects them.

use chrono::{DateTime, Utc};
use domain::{CutOff, InstallationId, RunnerVersion};
use sqlx::PgConnection;

use crate::{Listed, Result};

/// Most versions in a list.
const MAX_ROWS: i64 = 1000;

/// Runner version queries on one connection.
#[derive(Debug)]
pub struct Versions<'c>(pub(crate) &'c mut PgConnection);

/// One version in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRow {
    /// Name of the installation.
    pub installation: String,
    /// Version of the runner software.
    pub version: String,
    /// Number of runners for which GitHub reports it.
    pub runners: i64,
    /// Number of runners for which a caller stated it and GitHub has reported none.
    pub stated: i64,
    /// Time after which GitHub rejects registrations with it.
    pub registration_deprecates_at: Option<DateTime<Utc>>,
    /// Time after which GitHub rejects runners with it.
    pub runtime_deprecates_at: Option<DateTime<Utc>>,
    /// Time of GitHub's answer.
    pub checked_at: Option<DateTime<Utc>>,
    /// State that was reported last.
    pub told: Option<String>,
    /// The database's clock at the query.
    pub now: DateTime<Utc>,
}

/// Dates of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatedVersion {
    /// Name of the installation.
    pub installation: String,
    /// Version of the runner software.
    pub version: String,
    /// Dates after which GitHub rejects it.
    pub cut_off: CutOff,
    /// The database's clock at the query.
    pub now: DateTime<Utc>,
}

impl VersionRow {
    /// Returns the dates after which GitHub rejects it.
    pub const fn cut_off(&self) -> CutOff {
        CutOff { registration: self.registration_deprecates_at, runtime: self.runtime_deprecates_at }
    }
}

impl Versions<'_> {
    /// Records the versions that GitHub reports, by its runner ids. Returns how many rows changed.
    pub async fn record_reported(
        &mut self,
        installation: &InstallationId,
        ids: &[i64],
        versions: &[String],
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

    /// Returns versions in use whose dates are older than a day, the most used first, at most `most`.
    pub async fn due(&mut self, installation: &InstallationId, most: i64) -> Result<Vec<String>> {
        Ok(sqlx::query_scalar!(
            r#"SELECT coalesce(version, stated_version) AS "version!" FROM runners
             WHERE installation = $1 AND status <> 'deleted' AND (version IS NOT NULL OR stated_version IS NOT NULL)
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

    /// Records GitHub's dates for a version.
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

    /// Returns the dates of a version, if they are known, and the database's clock.
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

    /// Returns the known dates of these versions, each of the installation at the same place, and the database's clock.
    pub async fn cut_offs(
        &mut self,
        installations: &[String],
        versions: &[String],
    ) -> Result<Vec<DatedVersion>> {
        let rows = sqlx::query!(
            r#"SELECT installation, version, registration_deprecates_at, runtime_deprecates_at, now() AS "now!"
             FROM runner_versions WHERE (installation, version) IN (SELECT * FROM unnest($1::text[], $2::text[]))"#,
            installations,
            versions,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let dated = rows.into_iter().map(|row| DatedVersion {
            installation: row.installation,
            version: row.version,
            cut_off: CutOff {
                registration: row.registration_deprecates_at,
                runtime: row.runtime_deprecates_at,
            },
            now: row.now,
        });
        Ok(dated.collect())
    }

    /// Records the state that is reported now. Returns `false` if it was recorded before.
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

    /// Deletes versions whose dates were not read for 30 days. Returns how many.
    pub async fn forget(&mut self) -> Result<u64> {
        let done = sqlx::query!("DELETE FROM runner_versions WHERE checked_at < now() - interval '30 days'")
            .execute(&mut *self.0)
            .await?;
        Ok(done.rows_affected())
    }

    /// Returns the versions in use by installation, the most used first, at most 1,000.
    pub async fn in_use(&mut self) -> Result<Listed<VersionRow>> {
        let items = sqlx::query_as!(
            VersionRow,
            r#"SELECT used.installation AS "installation!", used.version AS "version!", used.runners AS "runners!",
                used.stated AS "stated!", registration_deprecates_at AS "registration_deprecates_at?",
                runtime_deprecates_at AS "runtime_deprecates_at?", checked_at AS "checked_at?", told AS "told?",
                now() AS "now!"
             FROM (SELECT installation, coalesce(version, stated_version) AS version, count(version) AS runners,
                    count(*) FILTER (WHERE version IS NULL) AS stated
                FROM runners WHERE status <> 'deleted' AND (version IS NOT NULL OR stated_version IS NOT NULL)
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
