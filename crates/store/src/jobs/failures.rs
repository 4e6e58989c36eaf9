//! Failed and expired jobs by their cause, and the admins' decisions about them.

use chrono::{DateTime, Utc};
use domain::{Job, JobId, ProblemCode, TeamId};
use uuid::Uuid;

use super::{JobRow, Jobs, job_rows};
use crate::{Result, readable::read_row};

/// Most jobs of one cause that are counted.
const MAX_COUNTED: i64 = 10_000;
/// Most causes in one answer.
const MAX_CAUSES: i64 = 100;

/// Failures with one cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureRow {
    /// Code of the problem.
    pub code: String,
    /// Explanation of the newest one.
    pub detail: Option<String>,
    /// Number of jobs, at most 10,000 of one code.
    pub jobs: i64,
    /// Number of teams.
    pub teams: i64,
    /// Time of the oldest one that was counted.
    pub first_at: DateTime<Utc>,
    /// Time of the newest one.
    pub last_at: DateTime<Utc>,
    /// The newest job.
    pub example: Uuid,
}

impl FailureRow {
    /// Returns whether there may be more jobs than were counted.
    pub const fn is_lower_bound(&self) -> bool {
        self.jobs >= MAX_COUNTED
    }
}

impl Jobs<'_> {
    /// Returns the failures since a time that no admin has dealt with, by cause, newest first, at most 100 causes.
    /// Refusals of GitHub with different messages are different causes.
    pub async fn failures(&mut self, since: DateTime<Utc>, team: Option<TeamId>) -> Result<Vec<FailureRow>> {
        let codes: Vec<String> = ProblemCode::ALL.iter().map(|code| code.as_str().to_owned()).collect();
        Ok(sqlx::query_as!(
            FailureRow,
            r#"SELECT code AS "code!", (array_agg(detail ORDER BY finished_at DESC))[1] AS detail,
                count(*) AS "jobs!", count(DISTINCT team_id) AS "teams!", min(finished_at) AS "first_at!",
                max(finished_at) AS "last_at!", (array_agg(id ORDER BY finished_at DESC))[1] AS "example!"
             FROM unnest($1::text[]) AS known (code)
             CROSS JOIN LATERAL (SELECT id, team_id, finished_at, left(error ->> 'detail', 300) AS detail FROM jobs
                WHERE state IN ('failed', 'expired') AND dismissed_at IS NULL AND error ->> 'code' = known.code
                    AND finished_at >= $2 AND ($3::uuid IS NULL OR team_id = $3)
                ORDER BY finished_at DESC LIMIT $4) failed
             GROUP BY code, CASE WHEN code = $5 THEN detail END
             ORDER BY max(finished_at) DESC LIMIT $6"#,
            &codes,
            since,
            team.map(TeamId::uuid),
            MAX_COUNTED,
            ProblemCode::GithubRefused.as_str(),
            MAX_CAUSES,
        )
        .fetch_all(&mut *self.0)
        .await?)
    }

    /// Marks a failed or expired job as dealt with by an admin, once. `retried_as` is the job that takes its place.
    /// Returns `None` if it is in another state, or was dealt with before.
    pub async fn dismiss(&mut self, id: JobId, by: &str, retried_as: Option<JobId>) -> Result<Option<Job>> {
        let row = job_rows!(
            "UPDATE jobs SET dismissed_at = now(), dismissed_by = $2, retried_as = $3
             WHERE id = $1 AND state IN ('failed', 'expired') AND dismissed_at IS NULL RETURNING",
            "",
            id.uuid(),
            by,
            retried_as.map(JobId::uuid),
        )
        .fetch_optional(&mut *self.0)
        .await?;
        read_row(row)
    }

    /// Returns the decision of an admin about the job, if there is one.
    pub async fn dismissal(&mut self, id: JobId) -> Result<Option<Dismissal>> {
        let row = sqlx::query!(
            r#"SELECT dismissed_by AS "by!", retried_as FROM jobs WHERE id = $1 AND dismissed_by IS NOT NULL"#,
            id.uuid()
        )
        .fetch_optional(&mut *self.0)
        .await?;
        Ok(row.map(|row| Dismissal { by: row.by, retried_as: row.retried_as.map(Into::into) }))
    }
}

/// Decision of an admin about a failed job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dismissal {
    /// Identity of the admin.
    pub by: String,
    /// The job that took its place.
    pub retried_as: Option<JobId>,
}
