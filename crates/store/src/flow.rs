//! Flow of jobs by minute and hour, filled from the jobs once a minute is over.

mod fill;

use chrono::{DateTime, Utc};
use domain::{FLOW_BUCKETS, FlowCounts, FlowPoint, TeamFlow};
use sqlx::PgConnection;

use crate::{Result, StoreError, readable::readable};

/// Most rows that one answer is made from.
const MAX_ROWS: i64 = 50_000;
/// Most teams in one answer.
const MAX_TEAMS: i64 = 50;

/// Flow queries on one connection.
#[derive(Debug)]
pub struct Flow<'c>(pub(crate) &'c mut PgConnection);

/// A span of time of the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowSpan {
    /// Begin, inclusive.
    pub since: DateTime<Utc>,
    /// End, exclusive.
    pub until: DateTime<Utc>,
}

struct FlowRow {
    at: DateTime<Utc>,
    installation: String,
    kind: String,
    accepted: i64,
    started: i64,
    succeeded: i64,
    failed: i64,
    expired: i64,
    cancelled: i64,
    wait: Vec<i64>,
    run: Vec<i64>,
}

impl TryFrom<FlowRow> for FlowPoint {
    type Error = StoreError;

    fn try_from(row: FlowRow) -> Result<Self> {
        let histogram = |numbers: Vec<i64>| {
            <[i64; FLOW_BUCKETS]>::try_from(numbers).map_err(|_| StoreError::inconsistent("a histogram"))
        };
        let FlowRow { accepted, started, succeeded, failed, expired, cancelled, .. } = row;
        Ok(Self {
            at: row.at,
            installation: row.installation,
            kind: row.kind,
            counts: FlowCounts { accepted, started, succeeded, failed, expired, cancelled },
            wait: histogram(row.wait)?,
            run: histogram(row.run)?,
        })
    }
}

impl Flow<'_> {
    /// Returns the time before which all minutes are known.
    pub async fn closed_until(&mut self) -> Result<Option<DateTime<Utc>>> {
        Ok(sqlx::query_scalar!("SELECT closed_until FROM flow_progress").fetch_optional(&mut *self.0).await?)
    }

    /// Returns how many jobs failed or expired in the last hour, as far as its minutes are known.
    pub async fn failed_last_hour(&mut self) -> Result<i64> {
        Ok(sqlx::query_scalar!(
            r#"SELECT coalesce(sum(failed + expired), 0)::bigint AS "failed!" FROM flow
             WHERE span = 'minute' AND at >= now() - interval '1 hour'"#,
        )
        .fetch_one(&mut *self.0)
        .await?)
    }

    /// Returns the points of a span by time, newest first where there are more than 50,000.
    pub async fn points(&mut self, span: FlowSpan, installation: Option<&str>) -> Result<Vec<FlowPoint>> {
        let rows = sqlx::query_as!(
            FlowRow,
            "SELECT at, installation, kind, accepted, started, succeeded, failed, expired, cancelled, wait, run
             FROM flow WHERE span IN ('minute', 'hour') AND at >= $1 AND at < $2
                AND ($3::text IS NULL OR installation = $3)
             ORDER BY at DESC LIMIT $4",
            span.since,
            span.until,
            installation,
            MAX_ROWS,
        )
        .fetch_all(&mut *self.0)
        .await?;
        Ok(readable(rows))
    }

    /// Returns the 50 teams with most jobs in a span, busiest first. Minutes in which a team was not among the 50
    /// busiest are missing.
    pub async fn teams(&mut self, span: FlowSpan) -> Result<Vec<TeamFlow>> {
        let rows = sqlx::query!(
            r#"SELECT team_id, sum(accepted)::bigint AS "accepted!", sum(started)::bigint AS "started!",
                sum(succeeded)::bigint AS "succeeded!", sum(failed)::bigint AS "failed!",
                sum(expired)::bigint AS "expired!", sum(cancelled)::bigint AS "cancelled!"
             FROM flow_teams WHERE span IN ('minute', 'hour') AND at >= $1 AND at < $2
             GROUP BY team_id
             ORDER BY sum(accepted + started + succeeded + failed + expired + cancelled) DESC, team_id LIMIT $3"#,
            span.since,
            span.until,
            MAX_TEAMS,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let teams = rows.into_iter().map(|row| TeamFlow {
            team: row.team_id.into(),
            counts: FlowCounts {
                accepted: row.accepted,
                started: row.started,
                succeeded: row.succeeded,
                failed: row.failed,
                expired: row.expired,
                cancelled: row.cancelled,
            },
        });
        Ok(teams.collect())
    }
}
