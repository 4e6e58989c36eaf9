//! Teams and their members.

mod members;
mod policy;

use chrono::{DateTime, Utc};
use domain::{Caller, InstallationId, Team, TeamId};
use sqlx::PgConnection;
use uuid::Uuid;

pub use self::{members::TeamMember, policy::SharedGroup};
use crate::{
    Listed, Page, Result, Search, StoreError,
    readable::{read_row, readable},
};

/// Team queries on one connection.
#[derive(Debug)]
pub struct Teams<'c>(pub(crate) &'c mut PgConnection);

/// All values an admin sets for a team, already validated.
#[derive(Clone, Debug, PartialEq)]
pub struct TeamDraft {
    /// Name of the team.
    pub name: String,
    /// Description for people.
    pub description: Option<String>,
    /// Labels that every runner has.
    pub required_labels: Vec<String>,
    /// Patterns of the further labels a runner may have.
    pub optional_label_patterns: Vec<String>,
    /// Whether every runner has the label `self-hosted`.
    pub add_self_hosted: bool,
    /// Runner groups the team may use.
    pub allowed_runner_group_ids: Vec<i64>,
    /// Repositories whose jobs may run on its runners.
    pub allowed_repositories: Vec<String>,
    /// Workflows whose jobs may run on its runners.
    pub allowed_workflows: Vec<String>,
    /// Most runners at a time; `None` means no limit.
    pub max_runners: Option<i32>,
    /// Weight in the fair queue.
    pub weight: f64,
    /// Response to label drift: `observe`, `repair` or `delete`.
    pub drift_response: domain::DriftResponse,
    /// Installation whose GitHub budget it uses.
    pub installation: InstallationId,
}

impl TeamDraft {
    /// Returns a team of the default installation with the values that a new team has unless an admin sets others: no
    /// labels of its own, and no limits.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            description: None,
            required_labels: Vec::new(),
            optional_label_patterns: Vec::new(),
            add_self_hosted: true,
            allowed_runner_group_ids: Vec::new(),
            allowed_repositories: Vec::new(),
            allowed_workflows: Vec::new(),
            max_runners: None,
            weight: 1.0,
            drift_response: domain::DriftResponse::Delete,
            installation: InstallationId::default(),
        }
    }
}

/// All values of a changed team.
#[derive(Clone, Debug, PartialEq)]
pub struct TeamChange {
    /// Values an admin sets.
    pub draft: TeamDraft,
    /// Whether it may get runners.
    pub is_active: bool,
    /// Reason of a deactivation.
    pub deactivation_reason: Option<String>,
}

/// Filter of a list of teams.
#[derive(Clone, Debug, Default)]
pub struct TeamFilter {
    /// Only active teams.
    pub active_only: bool,
    /// Only teams with this text in name or description.
    pub search: Search,
    /// Only these teams; `None` means all.
    pub only: Option<Vec<TeamId>>,
}

pub(crate) struct TeamRow {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) required_labels: Vec<String>,
    pub(crate) optional_label_patterns: Vec<String>,
    pub(crate) add_self_hosted: bool,
    pub(crate) required_by_others: Vec<String>,
    pub(crate) allowed_runner_group_ids: Vec<i64>,
    pub(crate) allowed_repositories: Vec<String>,
    pub(crate) allowed_workflows: Vec<String>,
    pub(crate) max_runners: Option<i32>,
    pub(crate) weight: f64,
    pub(crate) drift_response: String,
    pub(crate) installation: String,
    pub(crate) is_active: bool,
    pub(crate) deactivation_reason: Option<String>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
    pub(crate) member_count: i64,
    pub(crate) active_runner_count: i64,
}

impl TryFrom<TeamRow> for Team {
    type Error = StoreError;

    fn try_from(row: TeamRow) -> Result<Self> {
        Ok(Self {
            id: row.id.into(),
            name: row.name,
            description: row.description,
            required_labels: row.required_labels,
            optional_label_patterns: row.optional_label_patterns,
            add_self_hosted: row.add_self_hosted,
            required_by_others: row.required_by_others,
            allowed_runner_group_ids: row.allowed_runner_group_ids,
            allowed_repositories: row.allowed_repositories,
            allowed_workflows: row.allowed_workflows,
            max_runners: row.max_runners,
            weight: row.weight,
            drift_response: row.drift_response.parse().map_err(StoreError::inconsistent)?,
            installation: row.installation.parse().map_err(StoreError::inconsistent)?,
            is_active: row.is_active,
            deactivation_reason: row.deactivation_reason,
            created_at: row.created_at,
            updated_at: row.updated_at,
            member_count: row.member_count,
            active_runner_count: row.active_runner_count,
        })
    }
}

/// Teams with their counts of runners and members.
macro_rules! team_rows {
    ($tail:tt $(, $arg:expr)* $(,)?) => {
        sqlx::query_as!(
            TeamRow,
            r#"SELECT id, name, description, required_labels, optional_label_patterns, allowed_runner_group_ids,
                allowed_repositories, allowed_workflows, max_runners, weight, drift_response, installation, is_active,
                deactivation_reason, created_at, add_self_hosted, '{}'::text[] AS "required_by_others!",
                updated_at, (SELECT count(*) FROM team_members WHERE team_id = teams.id) AS "member_count!",
                (SELECT count(*) FROM runners WHERE team_id = teams.id AND status <> 'deleted')
                    AS "active_runner_count!"
             FROM teams "# + $tail
            $(, $arg)*
        )
    };
}

/// Teams without their counts, for frequent reads. `$others` are the labels of other teams.
macro_rules! bare_team_rows {
    ($others:tt, $tail:tt $(, $arg:expr)* $(,)?) => {
        sqlx::query_as!(
            TeamRow,
            r#"SELECT id, name, description, required_labels, optional_label_patterns, allowed_runner_group_ids,
                allowed_repositories, allowed_workflows, max_runners, weight, drift_response, installation, is_active,
                deactivation_reason, created_at, add_self_hosted, updated_at, 0::int8 AS "member_count!",
                0::int8 AS "active_runner_count!", "# + $others + r#" AS "required_by_others!"
             FROM teams "# + $tail
            $(, $arg)*
        )
    };
}
use bare_team_rows;

impl Teams<'_> {
    /// Returns the team, if it exists.
    pub async fn get(&mut self, id: TeamId) -> Result<Option<Team>> {
        let row = team_rows!("WHERE id = $1", id.uuid()).fetch_optional(&mut *self.0).await?;
        read_row(row)
    }

    /// Returns the team without its counts and without the labels of other teams, for everything but decisions about
    /// labels.
    pub async fn basics(&mut self, id: TeamId) -> Result<Option<Team>> {
        let row = bare_team_rows!("'{}'::text[]", "WHERE id = $1", id.uuid());
        read_row(row.fetch_optional(&mut *self.0).await?)
    }

    /// Returns the team as [`Self::basics`] does, and locks its row against changes until the end of the transaction.
    pub async fn lock(&mut self, id: TeamId) -> Result<Option<Team>> {
        let row = bare_team_rows!("'{}'::text[]", "WHERE id = $1 FOR NO KEY UPDATE", id.uuid());
        read_row(row.fetch_optional(&mut *self.0).await?)
    }

    /// Returns the team with this name, in any case, as [`Self::basics`] does.
    pub async fn by_name(&mut self, name: &str) -> Result<Option<Team>> {
        let row = bare_team_rows!("'{}'::text[]", "WHERE lower(name) = lower($1)", name);
        read_row(row.fetch_optional(&mut *self.0).await?)
    }

    /// Locks the count of this team's runners until the end of the transaction. It is an advisory lock, so that reads
    /// and changes of the team do not wait for it. The transaction needs a short lock time-out.
    pub async fn lock_quota(&mut self, id: TeamId) -> Result<()> {
        sqlx::query!(
            "SELECT pg_advisory_xact_lock(hashtextextended('quota:' || $1::text, 0))",
            id.to_string()
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Returns one page of teams.
    pub async fn list(&mut self, filter: &TeamFilter, page: Page) -> Result<Listed<Team>> {
        let only = filter.only.as_ref().map(|ids| ids.iter().map(|id| id.uuid()).collect::<Vec<_>>());
        let rows = team_rows!(
            "WHERE ($4 = false OR is_active) AND ($1::uuid IS NULL OR id < $1)
                AND ($5::text IS NULL OR lower(name) LIKE lower($5) OR lower(description) LIKE lower($5))
                AND ($6::uuid[] IS NULL OR id = ANY($6))
             ORDER BY id DESC LIMIT $2 OFFSET $3",
            page.before,
            page.limit,
            page.offset,
            filter.active_only,
            filter.search.pattern(),
            only.as_deref(),
        )
        .fetch_all(&mut *self.0)
        .await?;
        let total = sqlx::query_scalar!(
            r#"SELECT count(*) AS "n!" FROM teams WHERE ($1 = false OR is_active)
                AND ($2::text IS NULL OR lower(name) LIKE lower($2) OR lower(description) LIKE lower($2))
                AND ($3::uuid[] IS NULL OR id = ANY($3))"#,
            filter.active_only,
            filter.search.pattern(),
            only.as_deref(),
        )
        .fetch_one(&mut *self.0)
        .await?;
        let next = page.next(rows.len(), 0, rows.last().map(|last| last.id));
        Ok(Listed::counted(readable(rows), total, next))
    }

    /// Returns the teams the caller belongs to, by name.
    pub async fn of_caller(&mut self, caller: &Caller) -> Result<Vec<Team>> {
        let ids: Vec<Uuid> = caller.teams.iter().map(|team| team.id.uuid()).collect();
        let rows =
            team_rows!("WHERE id = ANY($1) ORDER BY lower(name)", &ids).fetch_all(&mut *self.0).await?;
        Ok(readable(rows))
    }

    /// Inserts a team.
    ///
    /// # Errors
    /// `Conflict` by `teams_name_key`.
    pub async fn insert(&mut self, id: TeamId, draft: &TeamDraft) -> Result<()> {
        sqlx::query!(
            "INSERT INTO teams (id, name, description, required_labels, optional_label_patterns,
                allowed_runner_group_ids, max_runners, weight, drift_response, installation, allowed_repositories,
                allowed_workflows, add_self_hosted)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
            id.uuid(),
            draft.name,
            draft.description,
            &draft.required_labels,
            &draft.optional_label_patterns,
            &draft.allowed_runner_group_ids,
            draft.max_runners,
            draft.weight,
            draft.drift_response.as_str(),
            draft.installation.as_str(),
            &draft.allowed_repositories,
            &draft.allowed_workflows,
            draft.add_self_hosted,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Writes all values of a team.
    ///
    /// # Errors
    /// `Conflict` by `teams_name_key`.
    pub async fn update(&mut self, id: TeamId, change: &TeamChange) -> Result<()> {
        let draft = &change.draft;
        sqlx::query!(
            "UPDATE teams SET name = $2, description = $3, required_labels = $4, optional_label_patterns = $5,
                allowed_runner_group_ids = $6, max_runners = $7, weight = $8, drift_response = $9, installation = $10,
                is_active = $11, deactivation_reason = $12, allowed_repositories = $13, allowed_workflows = $14,
                add_self_hosted = $15, updated_at = now() WHERE id = $1",
            id.uuid(),
            draft.name,
            draft.description,
            &draft.required_labels,
            &draft.optional_label_patterns,
            &draft.allowed_runner_group_ids,
            draft.max_runners,
            draft.weight,
            draft.drift_response.as_str(),
            draft.installation.as_str(),
            change.is_active,
            change.deactivation_reason,
            &draft.allowed_repositories,
            &draft.allowed_workflows,
            draft.add_self_hosted,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Returns whether the team has runners that are not deleted or jobs that are not final.
    pub async fn in_use(&mut self, id: TeamId) -> Result<bool> {
        Ok(sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM runners WHERE team_id = $1 AND status <> 'deleted')
                OR EXISTS (SELECT FROM jobs WHERE team_id = $1 AND finished_at IS NULL) AS "yes!""#,
            id.uuid()
        )
        .fetch_one(&mut *self.0)
        .await?)
    }
}
