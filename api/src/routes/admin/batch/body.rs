//! Bodies of batches. Their members have the names of the predecessor.

use chrono::{DateTime, Utc};
use domain::{BatchAction, Problem, RunnerStatus};
use operations::{BatchRequest, BatchSelector};
use serde::Deserialize;
use store::FailureSelection;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    app::AppState,
    body::find_team,
    error::ApiResult,
    openapi,
    routes::admin::{configured_installation, failures::DEFAULT_AGE},
};

/// People to deactivate.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserDeactivation {
    /// Reason, for the audit log.
    #[schema(min_length = 10, max_length = 500, example = "contractors of project X left")]
    pub(crate) comment: String,
    /// These people, at most 1,000.
    #[schema(max_items = 1000)]
    pub(crate) user_ids: Option<Vec<Uuid>>,
    /// All active members of this team, by id or name.
    pub(crate) team: Option<String>,
    /// All active people.
    #[serde(default)]
    pub(crate) all: bool,
    /// Leave admins as they are.
    #[serde(default = "default_true")]
    pub(crate) exclude_admins: bool,
    /// Only show whom it would concern.
    #[serde(default)]
    pub(crate) dry_run: bool,
    /// Refuse if the selector matches another number.
    #[schema(minimum = 0)]
    pub(crate) expected_count: Option<i64>,
}

/// People to activate again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserBatch {
    /// Reason, for the audit log.
    #[schema(min_length = 10, max_length = 500)]
    pub(crate) comment: String,
    /// These people, at most 1,000.
    #[schema(max_items = 1000)]
    pub(crate) user_ids: Option<Vec<Uuid>>,
    /// All inactive members of this team, by id or name.
    pub(crate) team: Option<String>,
    /// All inactive people.
    #[serde(default)]
    pub(crate) all: bool,
    /// Only show whom it would concern.
    #[serde(default)]
    pub(crate) dry_run: bool,
    /// Refuse if the selector matches another number.
    #[schema(minimum = 0)]
    pub(crate) expected_count: Option<i64>,
}

/// Runners to remove.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunnerBatch {
    /// Reason, for the audit log.
    #[schema(min_length = 10, max_length = 500)]
    pub(crate) comment: String,
    /// These runners, at most 1,000.
    #[schema(max_items = 1000)]
    pub(crate) runner_ids: Option<Vec<Uuid>>,
    /// Runners of this person or machine client, as `provisioned_by` shows them.
    pub(crate) user_identity: Option<String>,
    /// Runners of this team, by id or name.
    pub(crate) team: Option<String>,
    /// Runners in this state.
    #[schema(schema_with = openapi::runner_status)]
    pub(crate) status: Option<RunnerStatus>,
    /// All runners.
    #[serde(default)]
    pub(crate) all: bool,
    /// Only show which ones it would concern.
    #[serde(default)]
    pub(crate) dry_run: bool,
    /// Refuse if the selector matches another number.
    #[schema(minimum = 0)]
    pub(crate) expected_count: Option<i64>,
}

/// Teams to deactivate.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TeamDeactivation {
    /// Reason, for the audit log.
    #[schema(min_length = 10, max_length = 500)]
    pub(crate) comment: String,
    /// Reason that the teams' members see. Without it, the comment.
    #[schema(min_length = 1, max_length = 500)]
    pub(crate) reason: Option<String>,
    /// These teams, at most 1,000.
    #[schema(max_items = 1000)]
    pub(crate) team_ids: Option<Vec<Uuid>>,
    /// Teams with this text in name or description, in any case.
    #[schema(min_length = 1, max_length = 100)]
    pub(crate) q: Option<String>,
    /// Teams of this GitHub installation, by its name in the settings.
    #[schema(min_length = 1, max_length = 40)]
    pub(crate) installation: Option<String>,
    /// All active teams.
    #[serde(default)]
    pub(crate) all: bool,
    /// Only show which ones it would concern.
    #[serde(default)]
    pub(crate) dry_run: bool,
    /// Refuse if the selector matches another number.
    #[schema(minimum = 0)]
    pub(crate) expected_count: Option<i64>,
}

/// Teams to activate again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TeamBatch {
    /// Reason, for the audit log.
    #[schema(min_length = 10, max_length = 500)]
    pub(crate) comment: String,
    /// These teams, at most 1,000.
    #[schema(max_items = 1000)]
    pub(crate) team_ids: Option<Vec<Uuid>>,
    /// Teams with this text in name or description, in any case.
    #[schema(min_length = 1, max_length = 100)]
    pub(crate) q: Option<String>,
    /// Teams of this GitHub installation, by its name in the settings.
    #[schema(min_length = 1, max_length = 40)]
    pub(crate) installation: Option<String>,
    /// All inactive teams.
    #[serde(default)]
    pub(crate) all: bool,
    /// Only show which ones it would concern.
    #[serde(default)]
    pub(crate) dry_run: bool,
    /// Refuse if the selector matches another number.
    #[schema(minimum = 0)]
    pub(crate) expected_count: Option<i64>,
}

/// Failed jobs.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobBatch {
    /// Reason, for the audit log.
    #[schema(min_length = 10, max_length = 500)]
    comment: String,
    /// These jobs, at most 1,000.
    #[schema(max_items = 1000)]
    job_ids: Option<Vec<Uuid>>,
    /// Jobs that failed with this problem code and that no admin has dealt with.
    #[schema(example = "github_refused")]
    code: Option<String>,
    /// Of these, only jobs with this explanation, as `GET /admin/failures` shows it.
    #[schema(max_length = 300)]
    detail: Option<String>,
    /// Of these, only jobs that ended since this time; by default 24 hours ago.
    since: Option<DateTime<Utc>>,
    /// Of these, only jobs of this team, by id or name.
    team: Option<String>,
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

/// What every body of a batch says.
pub(super) struct BatchBody {
    selector: BatchSelector,
    /// Team of the selector, by id or name.
    team: Option<String>,
    /// Installation of the selector, by its name in the settings.
    installation: Option<String>,
    comment: String,
    expected_count: Option<i64>,
    dry_run: bool,
}

impl BatchBody {
    /// Returns the batch, and whether it is only a preview.
    pub(super) async fn request(
        self,
        app: &AppState,
        action: BatchAction,
    ) -> ApiResult<(BatchRequest, bool)> {
        let team = match self.team {
            None => None,
            Some(named) => {
                let unknown = || Problem::field("/team", "no team with this id or name");
                Some(find_team(app, &named).await?.ok_or_else(unknown)?.id)
            }
        };
        let installation = self.installation.map(|named| configured_installation(app, &named)).transpose()?;
        let selector = BatchSelector { team, installation, ..self.selector };
        let (comment, expected_count) = (self.comment, self.expected_count);
        Ok((BatchRequest { action, selector, comment, expected_count }, self.dry_run))
    }
}

/// Lets a body become a [`BatchBody`]: its team and installation, if it has them, and its selector.
macro_rules! batch_body {
    ($body:ty, |$it:ident| ($team:expr, $installation:expr), { $($member:ident: $value:expr),* $(,)? }) => {
        impl From<$body> for BatchBody {
            fn from($it: $body) -> Self {
                Self {
                    team: $team,
                    installation: $installation,
                    selector: BatchSelector { all: $it.all, $($member: $value,)* ..BatchSelector::default() },
                    comment: $it.comment,
                    expected_count: $it.expected_count,
                    dry_run: $it.dry_run,
                }
            }
        }
    };
}

batch_body!(UserDeactivation, |it| (it.team, None), { ids: it.user_ids, spare_admins: it.exclude_admins });
batch_body!(UserBatch, |it| (it.team, None), { ids: it.user_ids });
batch_body!(RunnerBatch, |it| (it.team, None), {
    ids: it.runner_ids,
    identity: it.user_identity,
    status: it.status,
});
batch_body!(TeamDeactivation, |it| (None, it.installation), {
    ids: it.team_ids,
    search: it.q,
    reason: it.reason,
});
batch_body!(TeamBatch, |it| (None, it.installation), { ids: it.team_ids, search: it.q });

impl From<JobBatch> for BatchBody {
    fn from(it: JobBatch) -> Self {
        // Without a code, what would narrow it is an error at the code.
        let has_cause =
            [&it.code, &it.detail, &it.team].into_iter().any(Option::is_some) || it.since.is_some();
        let failures = has_cause.then(|| FailureSelection {
            code: it.code.unwrap_or_default(),
            detail: it.detail,
            since: it.since.unwrap_or_else(|| Utc::now() - DEFAULT_AGE),
        });
        Self {
            team: it.team,
            installation: None,
            selector: BatchSelector { ids: it.job_ids, failures, ..BatchSelector::default() },
            comment: it.comment,
            expected_count: it.expected_count,
            dry_run: it.dry_run,
        }
    }
}
