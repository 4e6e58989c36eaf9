//! Status changes of runners, and the observations of sync runs and checks that lead to them.

use chrono::{DateTime, Utc};
use domain::{InstallationId, LiveRunner, RunnerId, Source, StatusChange};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Runners;
use crate::{Result, StoreError, readable::keep_readable};

/// One change of a runner's status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransitionRow {
    /// Time of the change.
    pub at: DateTime<Utc>,
    /// Status before; `None` for the first.
    pub from_status: Option<String>,
    /// Status after.
    pub to_status: String,
    /// Source of the change.
    pub source: String,
    /// Reason of the change.
    pub detail: Option<String>,
}

/// A batch of runners that are on GitHub.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LiveRunners {
    /// Runners that this version can read, by id.
    pub runners: Vec<LiveRunner>,
    /// GitHub ids of the whole batch, unreadable runners included.
    pub github_ids: Vec<i64>,
    /// Last id of the batch, unreadable runners included; `None` if there are no more.
    pub last: Option<RunnerId>,
}

/// Changes the status of runners that still have the expected one, records each change, and shreds the configs of
/// runners that are online or deleted. It is one statement for any number of rows. Rows changed after `since` stay as
/// they are. Returns the ids of the changed rows.
pub(crate) async fn apply_status_changes(
    connection: &mut PgConnection,
    changes: &[StatusChange],
    source: Source,
    since: Option<DateTime<Utc>>,
) -> Result<Vec<RunnerId>> {
    let ids: Vec<Uuid> = changes.iter().map(|change| change.runner.uuid()).collect();
    let from: Vec<Option<String>> =
        changes.iter().map(|change| change.from.map(|status| status.to_string())).collect();
    let to: Vec<String> = changes.iter().map(|change| change.to.to_string()).collect();
    let busy: Vec<bool> = changes.iter().map(|change| change.busy).collect();
    let details: Vec<Option<String>> = changes.iter().map(|change| change.detail.clone()).collect();
    let moved = sqlx::query!(
        r#"WITH wanted AS (
            SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bool[], $5::text[])
                AS w(id, was, becomes, busy, detail)
        ), old AS (
            SELECT runners.id, runners.status AS was, w.becomes, w.busy, w.detail
            FROM runners JOIN wanted w ON w.id = runners.id
            WHERE runners.status <> 'deleted' AND (w.was IS NULL OR w.was = runners.status)
                AND ($7::timestamptz IS NULL OR runners.updated_at <= $7)
            ORDER BY runners.id FOR UPDATE OF runners
        ), moved AS (
            UPDATE runners SET status = old.becomes, busy = old.busy, updated_at = now(),
                offline_since = CASE WHEN old.becomes = 'offline' THEN coalesce(offline_since, now()) END,
                deleted_at = CASE WHEN old.becomes = 'deleted' THEN now() END
            FROM old WHERE runners.id = old.id RETURNING runners.id, old.was, old.becomes, old.detail
        ), told AS (
            INSERT INTO runner_events (runner_id, from_status, to_status, source, detail)
            SELECT id, was, becomes, $6, detail FROM moved WHERE was <> becomes
        ), emptied AS (
            UPDATE credentials SET key_id = NULL, wrapped_key = NULL, ciphertext = NULL, shredded_at = now()
            FROM jobs JOIN moved ON moved.id = jobs.runner_id
            WHERE credentials.job_id = jobs.id AND shredded_at IS NULL AND moved.becomes IN ('active', 'deleted')
        )
        SELECT id AS "id!", CASE WHEN was = 'pending' AND becomes = 'active' THEN (
            SELECT extract(epoch FROM clock_timestamp() - first_read_at)::float8 FROM credentials
                JOIN jobs ON jobs.id = credentials.job_id
            WHERE jobs.runner_id = moved.id AND first_read_at IS NOT NULL LIMIT 1) END AS online_after
        FROM moved"#,
        &ids,
        &from as &[Option<String>],
        &to,
        &busy,
        &details as &[Option<String>],
        source.as_str(),
        since,
    )
    .fetch_all(connection)
    .await?;
    for seconds in moved.iter().filter_map(|row| row.online_after) {
        metrics::histogram!("rts_runner_online_seconds").record(seconds.max(0.0));
    }
    Ok(moved.into_iter().map(|row| row.id.into()).collect())
}

impl Runners<'_> {
    /// Changes the status to `deleted`, on proof that the runner is gone or because it was never made; `detail` says
    /// which. Its config is shredded. Returns `false` if it was deleted already.
    pub async fn mark_deleted(&mut self, id: RunnerId, source: Source, detail: &str) -> Result<bool> {
        self.change_status(&StatusChange::deleted(id, detail), source).await
    }

    /// Changes a runner's status and records the change. Returns `false` if it does not have the expected status.
    pub async fn change_status(&mut self, change: &StatusChange, source: Source) -> Result<bool> {
        Ok(!apply_status_changes(self.0, std::slice::from_ref(change), source, None).await?.is_empty())
    }

    /// Changes the status of runners that still have the expected one and did not change after `since`. Returns how
    /// many changed.
    pub async fn change_statuses(
        &mut self,
        changes: &[StatusChange],
        source: Source,
        since: DateTime<Utc>,
    ) -> Result<usize> {
        if changes.is_empty() {
            return Ok(0);
        }
        Ok(apply_status_changes(self.0, changes, source, Some(since)).await?.len())
    }

    /// Returns a runner's changes of status, newest first, at most `most`.
    pub async fn transitions(&mut self, id: RunnerId, most: i64) -> Result<Vec<TransitionRow>> {
        Ok(sqlx::query_as!(
            TransitionRow,
            "SELECT at, from_status, to_status, source, detail FROM runner_events WHERE runner_id = $1
             ORDER BY id DESC LIMIT $2",
            id.uuid(),
            most
        )
        .fetch_all(&mut *self.0)
        .await?)
    }

    /// Returns up to `limit` of our runners on GitHub that are not deleted, by id from after `after`.
    pub async fn live(
        &mut self,
        installation: &InstallationId,
        after: Option<RunnerId>,
        limit: i64,
    ) -> Result<LiveRunners> {
        let rows = sqlx::query!(
            r#"SELECT runners.id, github_runner_id AS "github_id!", team_id, weight, drift_response, runners.name,
                labels, status, busy, ephemeral, missed, unlisted, drift_seen, refused,
                refused AND EXISTS (SELECT FROM jobs WHERE runner_id = runners.id AND kind = 'deprovision'
                    AND finished_at IS NULL) AS "leaving!",
                coalesce(registered_at, runners.created_at) AS "registered_at!", runners.updated_at
             FROM runners JOIN teams ON teams.id = runners.team_id
             WHERE runners.installation = $1 AND status NOT IN ('requested', 'deleted')
                AND github_runner_id IS NOT NULL AND ($3::uuid IS NULL OR runners.id > $3)
             ORDER BY runners.id LIMIT $2"#,
            installation.as_str(),
            limit,
            after.map(RunnerId::uuid),
        )
        .fetch_all(&mut *self.0)
        .await?;
        let github_ids = rows.iter().map(|row| row.github_id).collect();
        let last = rows.last().map(|row| row.id.into());
        let read = rows.into_iter().map(|row| {
            Ok(LiveRunner {
                id: row.id.into(),
                github_id: row.github_id,
                team: row.team_id.into(),
                weight: row.weight,
                response: row.drift_response.parse().map_err(StoreError::inconsistent)?,
                name: row.name,
                labels: row.labels,
                status: row.status.parse().map_err(StoreError::inconsistent)?,
                busy: row.busy,
                ephemeral: row.ephemeral,
                missed: row.missed,
                unlisted: row.unlisted,
                drift_seen: row.drift_seen,
                refused: row.refused,
                leaving: row.leaving,
                registered_at: row.registered_at,
                updated_at: row.updated_at,
            })
        });
        Ok(LiveRunners { runners: read.filter_map(keep_readable).collect(), github_ids, last })
    }

    /// Stores how many runs in a row did not list each runner: complete runs, and runs of any kind.
    pub async fn count_misses(&mut self, counters: &[(RunnerId, i16, i16)]) -> Result<()> {
        if counters.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = counters.iter().map(|(id, _, _)| id.uuid()).collect();
        let missed: Vec<i16> = counters.iter().map(|(_, missed, _)| *missed).collect();
        let unlisted: Vec<i16> = counters.iter().map(|(_, _, unlisted)| *unlisted).collect();
        sqlx::query!(
            "UPDATE runners SET missed = new.missed, unlisted = new.unlisted
             FROM unnest($1::uuid[], $2::smallint[], $3::smallint[]) AS new(id, missed, unlisted)
             WHERE runners.id = new.id AND status <> 'deleted'",
            &ids,
            &missed,
            &unlisted,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Resets the counts of missed runs, because a check has found the runner on GitHub.
    pub async fn reset_misses(&mut self, runner: RunnerId) -> Result<()> {
        sqlx::query!(
            "UPDATE runners SET missed = 0, unlisted = 0 WHERE id = $1 AND (missed > 0 OR unlisted > 0)",
            runner.uuid(),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Records the labels of a runner that its team's policy does not allow; `None` if it has none.
    pub async fn record_foreign_labels(&mut self, runner: RunnerId, labels: Option<&[String]>) -> Result<()> {
        sqlx::query!(
            "UPDATE runners SET foreign_labels = $2 WHERE id = $1 AND foreign_labels IS DISTINCT FROM $2",
            runner.uuid(),
            labels,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Returns the labels last recorded by [`Self::record_foreign_labels`].
    pub async fn foreign_labels(&mut self, runner: RunnerId) -> Result<Vec<String>> {
        let row = sqlx::query_scalar!("SELECT foreign_labels FROM runners WHERE id = $1", runner.uuid());
        Ok(row.fetch_optional(&mut *self.0).await?.flatten().unwrap_or_default())
    }

    /// Records the deviation that is reported now; `None` if there is none. Returns `false` if it was recorded before.
    pub async fn record_drift(&mut self, id: RunnerId, fingerprint: Option<&str>) -> Result<bool> {
        let done = sqlx::query!(
            "UPDATE runners SET drift_seen = $2 WHERE id = $1 AND drift_seen IS DISTINCT FROM $2",
            id.uuid(),
            fingerprint
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected() == 1)
    }
}
