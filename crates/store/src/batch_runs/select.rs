//! Selection of the items of a batch.

use chrono::{DateTime, Utc};
use domain::{InstallationId, RunnerStatus, TeamId, UserId};
use uuid::Uuid;

use super::BatchRuns;
use crate::{Result, Search};

/// A person, team, runner or job that is selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchSubject {
    /// Its id.
    pub id: Uuid,
    /// Its readable name.
    pub name: String,
}

/// Selection of runners that are not deleted: those that match every given part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunnerSelection {
    /// Only these.
    pub ids: Option<Vec<Uuid>>,
    /// Only of this person or machine client, as lists show them.
    pub identity: Option<String>,
    /// Only of this team.
    pub team: Option<TeamId>,
    /// Only in this state.
    pub status: Option<RunnerStatus>,
}

/// Selection of teams: those named, or all that match every given part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TeamSelection {
    /// Only these, whether they are active or not.
    pub ids: Option<Vec<Uuid>>,
    /// Only with this text in name or description.
    pub search: Search,
    /// Only of this installation.
    pub installation: Option<InstallationId>,
    /// Only active ones, or only deactivated ones.
    pub is_active: bool,
}

/// Selection of failed and expired jobs that no admin has dealt with: those of one cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureSelection {
    /// Code of the problem.
    pub code: String,
    /// Only with this explanation, as the list of failures shows it.
    pub detail: Option<String>,
    /// Only those that ended since this time.
    pub since: DateTime<Utc>,
}

impl BatchRuns<'_> {
    /// Returns up to `limit` people, by id: those named, or all that are active or not as `is_active` says and belong to
    /// `team`.
    pub async fn select_users(
        &mut self,
        ids: Option<&[Uuid]>,
        team: Option<TeamId>,
        is_active: bool,
        limit: i64,
    ) -> Result<Vec<BatchSubject>> {
        Ok(sqlx::query_as!(
            BatchSubject,
            r#"SELECT id, coalesce(email, issuer || '#' || subject, id::text) AS "name!" FROM users
             WHERE ($1::uuid[] IS NULL OR id = ANY($1)) AND ($1::uuid[] IS NOT NULL OR is_active = $3)
                AND ($2::uuid IS NULL OR EXISTS (SELECT FROM team_members WHERE user_id = users.id AND team_id = $2))
             ORDER BY id LIMIT $4"#,
            ids as Option<&[Uuid]>,
            team.map(Uuid::from),
            is_active,
            limit,
        )
        .fetch_all(&mut *self.0)
        .await?)
    }

    /// Returns the number of these people whom a deactivation would change: those who are active, are not `spared`, and
    /// are no admins if `spare_admins`.
    pub async fn count_deactivations(
        &mut self,
        people: &[BatchSubject],
        spared: UserId,
        spare_admins: bool,
    ) -> Result<i64> {
        let ids: Vec<Uuid> = people.iter().map(|person| person.id).collect();
        let count = sqlx::query_scalar!(
            r#"SELECT count(*) AS "n!" FROM users
             WHERE id = ANY($1) AND is_active AND id <> $2 AND NOT (is_admin AND $3)"#,
            &ids,
            spared.uuid(),
            spare_admins,
        );
        Ok(count.fetch_one(&mut *self.0).await?)
    }

    /// Returns the number of active people.
    pub async fn count_active_users(&mut self) -> Result<i64> {
        let count = sqlx::query_scalar!(r#"SELECT count(*) AS "n!" FROM users WHERE is_active"#);
        Ok(count.fetch_one(&mut *self.0).await?)
    }

    /// Returns up to `limit` teams, by id.
    pub async fn select_teams(&mut self, which: &TeamSelection, limit: i64) -> Result<Vec<BatchSubject>> {
        Ok(sqlx::query_as!(
            BatchSubject,
            "SELECT id, name FROM teams
             WHERE ($1::uuid[] IS NULL OR id = ANY($1)) AND ($1::uuid[] IS NOT NULL OR is_active = $2)
                AND ($4::text IS NULL OR lower(name) LIKE lower($4) OR lower(description) LIKE lower($4))
                AND ($5::text IS NULL OR installation = $5)
             ORDER BY id LIMIT $3",
            which.ids.as_deref() as Option<&[Uuid]>,
            which.is_active,
            limit,
            which.search.pattern(),
            which.installation.as_ref().map(InstallationId::as_str),
        )
        .fetch_all(&mut *self.0)
        .await?)
    }

    /// Returns up to `limit` runners, by id. Deleted ones are returned only if they are named.
    pub async fn select_runners(&mut self, which: &RunnerSelection, limit: i64) -> Result<Vec<BatchSubject>> {
        Ok(sqlx::query_as!(
            BatchSubject,
            "SELECT runners.id, runners.name FROM runners
                LEFT JOIN users ON users.id = owner_user LEFT JOIN oauth_clients ON oauth_clients.id = owner_client
             WHERE ($1::uuid[] IS NULL OR runners.id = ANY($1)) AND ($1::uuid[] IS NOT NULL OR status <> 'deleted')
                AND ($2::text IS NULL OR coalesce(users.email, users.issuer || '#' || users.subject) = $2
                    OR oauth_clients.client_id = $2)
                AND ($3::uuid IS NULL OR runners.team_id = $3) AND ($4::text IS NULL OR status = $4)
             ORDER BY runners.id LIMIT $5",
            which.ids.as_deref() as Option<&[Uuid]>,
            which.identity,
            which.team.map(Uuid::from),
            which.status.map(RunnerStatus::as_str),
            limit,
        )
        .fetch_all(&mut *self.0)
        .await?)
    }

    /// Returns the jobs with these ids, by id.
    pub async fn select_jobs(&mut self, ids: &[Uuid]) -> Result<Vec<BatchSubject>> {
        Ok(sqlx::query_as!(
            BatchSubject,
            r#"SELECT jobs.id, coalesce(runners.name, jobs.kind) AS "name!" FROM jobs
                LEFT JOIN runners ON runners.id = jobs.runner_id
             WHERE jobs.id = ANY($1) ORDER BY jobs.id"#,
            ids,
        )
        .fetch_all(&mut *self.0)
        .await?)
    }

    /// Returns up to `limit` failed jobs of one cause, by id; the newest ones if there are more.
    pub async fn select_failures(
        &mut self,
        which: &FailureSelection,
        team: Option<TeamId>,
        limit: i64,
    ) -> Result<Vec<BatchSubject>> {
        Ok(sqlx::query_as!(
            BatchSubject,
            r#"SELECT failed.id, coalesce(runners.name, failed.kind) AS "name!" FROM (
                SELECT id, kind, runner_id FROM jobs
                WHERE state IN ('failed', 'expired') AND dismissed_at IS NULL AND error ->> 'code' = $1
                    AND finished_at >= $2 AND ($3::text IS NULL OR left(error ->> 'detail', 300) = $3)
                    AND ($4::uuid IS NULL OR team_id = $4)
                ORDER BY finished_at DESC LIMIT $5) failed
             LEFT JOIN runners ON runners.id = failed.runner_id ORDER BY failed.id"#,
            which.code,
            which.since,
            which.detail,
            team.map(Uuid::from),
            limit,
        )
        .fetch_all(&mut *self.0)
        .await?)
    }
}
