//! Bodies of batches. Their members have the names of the predecessor.

use domain::{BatchAction, Problem, RunnerStatus, TeamId};
use operations::{BatchRequest, BatchSelector};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{app::AppState, error::ApiResult, openapi};

/// People to deactivate.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserDeactivation {
    /// Reason, for the audit log.
    #[schema(min_length = 10, max_length = 500, example = "contractors of project X left")]
    comment: String,
    /// These people, at most 1,000.
    #[schema(max_items = 1000)]
    user_ids: Option<Vec<Uuid>>,
    /// All active members of this team, by id or name.
    team: Option<String>,
    /// All active people.
    #[serde(default)]
    all: bool,
    /// Leave admins as they are.
    #[serde(default = "default_true")]
    exclude_admins: bool,
    /// Only show whom it would concern.
    #[serde(default)]
    dry_run: bool,
    /// Refuse if the selector matches another number.
    #[schema(minimum = 0)]
    expected_count: Option<i64>,
}

/// People to activate again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserBatch {
    /// Reason, for the audit log.
    #[schema(min_length = 10, max_length = 500)]
    comment: String,
    /// These people, at most 1,000.
    #[schema(max_items = 1000)]
    user_ids: Option<Vec<Uuid>>,
    /// All inactive members of this team, by id or name.
    team: Option<String>,
    /// All inactive people.
    #[serde(default)]
    all: bool,
    /// Only show whom it would concern.
    #[serde(default)]
    dry_run: bool,
    /// Refuse if the selector matches another number.
    #[schema(minimum = 0)]
    expected_count: Option<i64>,
}

/// Runners to remove.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunnerBatch {
    /// Reason, for the audit log.
    #[schema(min_length = 10, max_length = 500)]
    comment: String,
    /// These runners, at most 1,000.
    #[schema(max_items = 1000)]
    runner_ids: Option<Vec<Uuid>>,
    /// Runners of this person or machine client, as `provisioned_by` shows them.
    user_identity: Option<String>,
    /// Runners of this team, by id or name.
    team: Option<String>,
    /// Runners in this state.
    #[schema(schema_with = openapi::runner_status)]
    status: Option<RunnerStatus>,
    /// All runners.
    #[serde(default)]
    all: bool,
    /// Only show which ones it would concern.
    #[serde(default)]
    dry_run: bool,
    /// Refuse if the selector matches another number.
    #[schema(minimum = 0)]
    expected_count: Option<i64>,
}

/// Teams to deactivate.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TeamDeactivation {
    /// Reason, for the audit log.
    #[schema(min_length = 10, max_length = 500)]
    comment: String,
    /// Reason that the teams' members see. Without it, the comment.
    #[schema(min_length = 1, max_length = 500)]
    reason: Option<String>,
    /// These teams, at most 1,000.
    #[schema(max_items = 1000)]
    team_ids: Option<Vec<Uuid>>,
    /// All active teams.
    #[serde(default)]
    all: bool,
    /// Only show which ones it would concern.
    #[serde(default)]
    dry_run: bool,
    /// Refuse if the selector matches another number.
    #[schema(minimum = 0)]
    expected_count: Option<i64>,
}

/// Teams to activate again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TeamBatch {
    /// Reason, for the audit log.
    #[schema(min_length = 10, max_length = 500)]
    comment: String,
    /// These teams, at most 1,000.
    #[schema(max_items = 1000)]
    team_ids: Option<Vec<Uuid>>,
    /// All inactive teams.
    #[serde(default)]
    all: bool,
    /// Only show which ones it would concern.
    #[serde(default)]
    dry_run: bool,
    /// Refuse if the selector matches another number.
    #[schema(minimum = 0)]
    expected_count: Option<i64>,
}

const fn default_true() -> bool {
    true
}

/// Returns the team with this id or name.
async fn named_team(app: &AppState, named: Option<&str>) -> ApiResult<Option<TeamId>> {
    let Some(named) = named else { return Ok(None) };
    let mut conn = app.store.conn().await?;
    let team = match named.parse() {
        Ok(id) => conn.teams().get(id).await?,
        Err(_) => conn.teams().by_name(named).await?,
    };
    let unknown = || Problem::field("/team", "no team with this id or name");
    Ok(Some(team.ok_or_else(unknown)?.id))
}

impl UserDeactivation {
    /// Returns the batch, and whether it is only a preview.
    pub(super) async fn request(
        self,
        app: &AppState,
        action: BatchAction,
    ) -> ApiResult<(BatchRequest, bool)> {
        let selector = BatchSelector {
            ids: self.user_ids,
            team: named_team(app, self.team.as_deref()).await?,
            all: self.all,
            spare_admins: self.exclude_admins,
            ..BatchSelector::default()
        };
        let (comment, expected_count) = (self.comment, self.expected_count);
        Ok((BatchRequest { action, selector, comment, expected_count }, self.dry_run))
    }
}

impl UserBatch {
    /// Returns the batch, and whether it is only a preview.
    pub(super) async fn request(
        self,
        app: &AppState,
        action: BatchAction,
    ) -> ApiResult<(BatchRequest, bool)> {
        let selector = BatchSelector {
            ids: self.user_ids,
            team: named_team(app, self.team.as_deref()).await?,
            all: self.all,
            ..BatchSelector::default()
        };
        let (comment, expected_count) = (self.comment, self.expected_count);
        Ok((BatchRequest { action, selector, comment, expected_count }, self.dry_run))
    }
}

impl RunnerBatch {
    /// Returns the batch, and whether it is only a preview.
    pub(super) async fn request(
        self,
        app: &AppState,
        action: BatchAction,
    ) -> ApiResult<(BatchRequest, bool)> {
        let selector = BatchSelector {
            ids: self.runner_ids,
            identity: self.user_identity,
            team: named_team(app, self.team.as_deref()).await?,
            status: self.status,
            all: self.all,
            ..BatchSelector::default()
        };
        let (comment, expected_count) = (self.comment, self.expected_count);
        Ok((BatchRequest { action, selector, comment, expected_count }, self.dry_run))
    }
}

impl TeamDeactivation {
    /// Returns the batch, and whether it is only a preview.
    #[expect(clippy::unused_async, reason = "the bodies of all batches are read alike")]
    pub(super) async fn request(self, _: &AppState, action: BatchAction) -> ApiResult<(BatchRequest, bool)> {
        let selector = BatchSelector {
            ids: self.team_ids,
            all: self.all,
            reason: self.reason,
            ..BatchSelector::default()
        };
        let (comment, expected_count) = (self.comment, self.expected_count);
        Ok((BatchRequest { action, selector, comment, expected_count }, self.dry_run))
    }
}

impl TeamBatch {
    /// Returns the batch, and whether it is only a preview.
    #[expect(clippy::unused_async, reason = "the bodies of all batches are read alike")]
    pub(super) async fn request(self, _: &AppState, action: BatchAction) -> ApiResult<(BatchRequest, bool)> {
        let selector = BatchSelector { ids: self.team_ids, all: self.all, ..BatchSelector::default() };
        let (comment, expected_count) = (self.comment, self.expected_count);
        Ok((BatchRequest { action, selector, comment, expected_count }, self.dry_run))
    }
}
