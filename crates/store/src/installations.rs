//! State of the App's installations: suspensions, and the progress of the search for failed webhook deliveries.

use chrono::{DateTime, TimeDelta, Utc};
use domain::InstallationId;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Result, StoreError, jobs::seconds, readable::keep_readable};

/// Installation queries on one connection.
#[derive(Debug)]
pub struct Installations<'c>(pub(crate) &'c mut PgConnection);

/// The progress of reading GitHub's list of failed deliveries, for the process whose turn it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SweepTurn {
    /// Time up to which the list was read before.
    pub until: Option<DateTime<Utc>>,
    /// Position of a reading that was interrupted.
    pub resume: Option<SweepResume>,
}

/// Position in GitHub's list of deliveries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SweepResume {
    /// GitHub's cursor of the page.
    pub from: String,
    /// Time of the newest delivery seen by this reading.
    pub newest: DateTime<Utc>,
}

/// An installation that GitHub has suspended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspended {
    /// Configured name of the installation.
    pub installation: InstallationId,
    /// GitHub's id of it when it was suspended.
    pub github_id: i64,
}

impl Installations<'_> {
    /// Inserts a row for each installation that has none.
    pub async fn ensure(&mut self, ids: &[InstallationId]) -> Result<()> {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        sqlx::query!("INSERT INTO installations (id) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING", &ids)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    /// Inserts or updates the row of an installation that sends requests for `pool`, which may be itself.
    pub async fn ensure_app(&mut self, app: &InstallationId, pool: &InstallationId) -> Result<()> {
        self.ensure_apps(&[(app.clone(), pool.clone())]).await
    }

    /// Inserts or updates the rows of installations, each with the pool that it sends requests for. The installations
    /// differ.
    pub async fn ensure_apps(&mut self, apps: &[(InstallationId, InstallationId)]) -> Result<()> {
        let (ids, pools): (Vec<String>, Vec<String>) =
            apps.iter().map(|(app, pool)| (app.to_string(), pool.to_string())).unzip();
        sqlx::query!(
            "INSERT INTO installations (id, pool)
             SELECT app, nullif(pool, app) FROM unnest($1::text[], $2::text[]) AS apps (app, pool)
             ON CONFLICT (id) DO UPDATE SET pool = EXCLUDED.pool
                WHERE installations.pool IS DISTINCT FROM EXCLUDED.pool",
            &ids,
            &pools,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Suspends the installation (with its GitHub id) or ends the suspension (`None`), unless a change newer than `at`
    /// is known. Returns whether the state changed.
    pub async fn suspend(
        &mut self,
        installation: &InstallationId,
        github_id: Option<i64>,
        at: DateTime<Utc>,
    ) -> Result<bool> {
        let changed = sqlx::query_scalar!(
            r#"WITH old AS (
                SELECT id, suspended_github_id AS was FROM installations
                WHERE id = $1 AND (changed_at IS NULL OR changed_at <= $3) FOR UPDATE)
             UPDATE installations AS i SET suspended_github_id = $2, changed_at = $3,
                suspended_at = CASE WHEN $2::int8 IS NULL THEN NULL ELSE coalesce(i.suspended_at, now()) END
             FROM old WHERE i.id = old.id RETURNING old.was IS DISTINCT FROM $2 AS "changed!""#,
            installation.as_str(),
            github_id,
            at,
        )
        .fetch_optional(&mut *self.0)
        .await?;
        Ok(changed.unwrap_or(false))
    }

    /// Records that GitHub refuses the calls of an installation, which sends requests for `pool`, until an operator
    /// acts; at most once in ten seconds.
    pub async fn record_refusal(
        &mut self,
        installation: &InstallationId,
        pool: &InstallationId,
        refusal: &str,
    ) -> Result<()> {
        sqlx::query!(
            "INSERT INTO installations AS i (id, pool, refused_at, refusal)
             VALUES ($1, nullif($2::text, $1), now(), left($3, 500))
             ON CONFLICT (id) DO UPDATE SET refused_at = excluded.refused_at, refusal = excluded.refusal
                WHERE i.refused_at IS NULL OR i.refused_at < now() - interval '10 seconds'",
            installation.as_str(),
            pool.as_str(),
            refusal,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Returns all suspended installations.
    pub async fn suspended(&mut self) -> Result<Vec<Suspended>> {
        let rows = sqlx::query!(
            r#"SELECT id, suspended_github_id AS "github_id!" FROM installations WHERE suspended_at IS NOT NULL LIMIT 1000"#
        )
        .fetch_all(&mut *self.0)
        .await?;
        let read = rows.into_iter().map(|row| {
            let installation = row.id.parse().map_err(StoreError::inconsistent)?;
            Ok(Suspended { installation, github_id: row.github_id })
        });
        Ok(read.filter_map(keep_readable).collect())
    }

    /// Ends a suspension whose end no event reported. Returns `false` if another process ended it before.
    pub async fn end_suspension(&mut self, of: &Suspended) -> Result<bool> {
        let done = sqlx::query!(
            "UPDATE installations SET suspended_at = NULL, suspended_github_id = NULL
             WHERE id = $1 AND suspended_github_id = $2",
            of.installation.as_str(),
            of.github_id,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Takes the turn to read the list of deliveries, at most once in `every`. Returns `None` if it is not due or
    /// another process has it.
    pub async fn take_sweep(
        &mut self,
        installation: &InstallationId,
        every: TimeDelta,
    ) -> Result<Option<SweepTurn>> {
        let row = sqlx::query!(
            "INSERT INTO webhook_sweeps (installation, next_at) VALUES ($1, now() + make_interval(secs => $2))
             ON CONFLICT (installation) DO UPDATE SET next_at = EXCLUDED.next_at WHERE webhook_sweeps.next_at <= now()
             RETURNING checked_until, resume_from, resume_newest",
            installation.as_str(),
            seconds(every),
        )
        .fetch_optional(&mut *self.0)
        .await?;
        Ok(row.map(|row| SweepTurn {
            until: row.checked_until,
            resume: row.resume_from.zip(row.resume_newest).map(|(from, newest)| SweepResume { from, newest }),
        }))
    }

    /// Records that the list was read completely, up to its newest delivery.
    pub async fn complete_sweep(
        &mut self,
        installation: &InstallationId,
        until: Option<DateTime<Utc>>,
    ) -> Result<()> {
        sqlx::query!(
            "UPDATE webhook_sweeps SET checked_until = greatest(checked_until, $2), resume_from = NULL,
                resume_newest = NULL WHERE installation = $1",
            installation.as_str(),
            until,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Makes the next reading due at once; it starts at `resume`, or at the beginning of the list.
    pub async fn continue_sweep(
        &mut self,
        installation: &InstallationId,
        resume: Option<&SweepResume>,
    ) -> Result<()> {
        sqlx::query!(
            "UPDATE webhook_sweeps SET next_at = now(), resume_from = $2, resume_newest = $3 WHERE installation = $1",
            installation.as_str(),
            resume.map(|resume| resume.from.as_str()),
            resume.map(|resume| resume.newest),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Returns the deliveries to request again: not in the inbox, requested fewer than `most` times and not within
    /// `pause`, which grows tenfold each time. Deliveries that were never requested come first.
    pub async fn find_missing_deliveries(
        &mut self,
        ids: &[Uuid],
        most: i16,
        pause: TimeDelta,
    ) -> Result<Vec<Uuid>> {
        Ok(sqlx::query_scalar!(
            r#"SELECT id AS "id!" FROM unnest($1::uuid[]) AS wanted (id)
                LEFT JOIN webhook_redeliveries ON delivery_id = id
             WHERE NOT EXISTS (SELECT FROM webhook_inbox WHERE webhook_inbox.delivery_id = id)
                AND (attempts IS NULL OR (attempts < $2
                    AND last_at <= now() - make_interval(secs => $3 * power(10, attempts - 1))))
             ORDER BY attempts NULLS FIRST"#,
            ids,
            most,
            seconds(pause),
        )
        .fetch_all(&mut *self.0)
        .await?)
    }

    /// Records one more request for a delivery.
    pub async fn record_redelivery_request(&mut self, id: Uuid) -> Result<()> {
        sqlx::query!(
            "INSERT INTO webhook_redeliveries (delivery_id) VALUES ($1)
             ON CONFLICT (delivery_id) DO UPDATE SET attempts = webhook_redeliveries.attempts + 1, last_at = now()",
            id
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Deletes up to `most` records older than seven days. Returns how many.
    pub async fn forget_redeliveries(&mut self, most: i64) -> Result<u64> {
        let done = sqlx::query!(
            "DELETE FROM webhook_redeliveries WHERE delivery_id IN (
                SELECT delivery_id FROM webhook_redeliveries WHERE last_at < now() - interval '7 days' LIMIT $1)",
            most
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected())
    }
}
