//! Facts about the whole service that a verdict needs, in one bounded read.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{InstallationId, TeamId, UnacknowledgedEvents};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Result, StoreError, jobs::seconds, page::first_id, readable::keep_readable};

/// Age up to which a refusal of GitHub counts, unless a job of the installation has succeeded since.
const REFUSAL_LIFE: TimeDelta = TimeDelta::minutes(15);
/// Age up to which an event without an acknowledgement counts.
const EVENT_LIFE: TimeDelta = TimeDelta::days(14);
/// Most events that are counted.
const MAX_EVENTS: i64 = 1000;

/// Overview queries on one connection.
#[derive(Debug)]
pub struct Overviews<'c>(pub(crate) &'c mut PgConnection);

/// Facts about the whole service.
#[derive(Clone, Debug, PartialEq)]
pub struct Overview {
    /// Time of the read, by the database's clock.
    pub now: DateTime<Utc>,
    /// Installations that cannot be used, by name.
    pub installations: Vec<UnusableRow>,
    /// Whether a job started or ended in the last minute.
    pub moved_lately: bool,
    /// Number of jobs that ended in the last minute, at most 100,000.
    pub ended_last_minute: u64,
    /// Severe security events of the last 14 days that no admin has acknowledged, at most 1,000.
    pub events: UnacknowledgedEvents,
}

/// An installation that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnusableRow {
    /// Name of the installation.
    pub installation: InstallationId,
    /// Whether GitHub has suspended it.
    pub suspended: bool,
    /// GitHub's refusal in the last 15 minutes, if no job has succeeded since.
    pub refusal: Option<String>,
}

/// A team with its oldest queued job.
#[derive(Clone, Debug, PartialEq)]
pub struct TeamQueue {
    /// The team.
    pub team: TeamId,
    /// Its name.
    pub name: String,
    /// Its weight in the fair queue.
    pub weight: f64,
    /// Time at which its oldest queued job was accepted.
    pub oldest: Option<DateTime<Utc>>,
}

impl Overviews<'_> {
    /// Reads the facts, in three statements.
    pub async fn read(&mut self) -> Result<Overview> {
        let row = sqlx::query!(
            r#"SELECT clock_timestamp() AS "now!",
                (SELECT count(*) FROM (SELECT FROM jobs WHERE finished_at > now() - interval '1 minute' LIMIT 100000) e)
                    AS "ended!",
                EXISTS (SELECT FROM jobs WHERE state = 'running' AND updated_at > now() - interval '1 minute')
                    OR EXISTS (SELECT FROM jobs WHERE finished_at > now() - interval '1 minute'
                        AND state IN ('succeeded', 'failed')) AS "moved!""#
        )
        .fetch_one(&mut *self.0)
        .await?;
        Ok(Overview {
            now: row.now,
            installations: self.unusable().await?,
            moved_lately: row.moved,
            ended_last_minute: row.ended.unsigned_abs(),
            events: self.events(row.now).await?,
        })
    }

    /// Returns the names of these teams.
    pub async fn team_names(&mut self, teams: &[TeamId]) -> Result<Vec<(TeamId, String)>> {
        let ids: Vec<Uuid> = teams.iter().map(|id| id.uuid()).collect();
        let rows = sqlx::query!("SELECT id, name FROM teams WHERE id = ANY($1)", &ids)
            .fetch_all(&mut *self.0)
            .await?;
        Ok(rows.into_iter().map(|row| (row.id.into(), row.name)).collect())
    }

    /// Returns what the queue of each of these teams shows: its name, weight and oldest queued job.
    pub async fn team_queues(&mut self, teams: &[TeamId]) -> Result<Vec<TeamQueue>> {
        let ids: Vec<Uuid> = teams.iter().map(|id| id.uuid()).collect();
        Ok(sqlx::query_as!(
            TeamQueue,
            "SELECT id AS team, name, weight, (SELECT created_at FROM jobs WHERE team_id = teams.id AND state = 'queued'
                ORDER BY jobs.id LIMIT 1) AS oldest
             FROM teams WHERE id = ANY($1)",
            &ids,
        )
        .fetch_all(&mut *self.0)
        .await?)
    }

    async fn unusable(&mut self) -> Result<Vec<UnusableRow>> {
        let rows = sqlx::query!(
            r#"SELECT id, suspended_at IS NOT NULL AS "suspended!",
                CASE WHEN refused_at > now() - make_interval(secs => $1) AND NOT EXISTS (SELECT FROM jobs
                    WHERE finished_at > refused_at AND state = 'succeeded' AND installation = installations.id)
                    THEN refusal END AS refusal
             FROM installations
             WHERE suspended_at IS NOT NULL OR refused_at > now() - make_interval(secs => $1)
             ORDER BY id LIMIT 1000"#,
            seconds(REFUSAL_LIFE),
        )
        .fetch_all(&mut *self.0)
        .await?;
        let read = rows.into_iter().map(|row| {
            let installation = row.id.parse().map_err(StoreError::inconsistent)?;
            Ok(UnusableRow { installation, suspended: row.suspended, refusal: row.refusal })
        });
        Ok(read.filter_map(keep_readable).collect())
    }

    async fn events(&mut self, now: DateTime<Utc>) -> Result<UnacknowledgedEvents> {
        let row = sqlx::query!(
            r#"SELECT count(*) FILTER (WHERE severity = 'critical') AS "critical!",
                count(*) FILTER (WHERE severity = 'high') AS "high!"
             FROM (SELECT severity FROM security_events
                WHERE acknowledged_at IS NULL AND severity IN ('high', 'critical') AND id >= $1
                ORDER BY id DESC LIMIT $2) events"#,
            now.checked_sub_signed(EVENT_LIFE).and_then(first_id).unwrap_or_default(),
            MAX_EVENTS,
        )
        .fetch_one(&mut *self.0)
        .await?;
        Ok(UnacknowledgedEvents { critical: row.critical.unsigned_abs(), high: row.high.unsigned_abs() })
    }
}
