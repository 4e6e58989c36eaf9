//! Versions of the runner software in use.

use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::VersionState;
use serde::Serialize;
use store::VersionRow;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::AppState,
    caller::SeesAll,
    error::ApiResult,
    lists::Listing,
    openapi::{self, problems},
};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// A version in use.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RunnerVersion)]
pub(crate) struct VersionView {
    /// The installation.
    pub(crate) installation: String,
    /// The version.
    pub(crate) version: String,
    /// `unknown` if GitHub has named no end of support.
    #[schema(schema_with = openapi::version_state)]
    pub(crate) state: VersionState,
    /// Live runners with this version according to GitHub.
    pub(crate) runners: i64,
    /// Live runners with this version according to their callers, which have not connected yet.
    pub(crate) stated: i64,
    /// Time after which no new runner with this version can be registered.
    pub(crate) registration_deprecates_at: Option<DateTime<Utc>>,
    /// Time after which a registered runner with this version may not run.
    pub(crate) runtime_deprecates_at: Option<DateTime<Utc>>,
    /// Time of the last check with GitHub, at most one per day.
    pub(crate) checked_at: Option<DateTime<Utc>>,
}

/// Versions of the runner software in use.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VersionList {
    /// By installation, most used first; at most 1,000.
    pub(crate) versions: Vec<VersionView>,
    /// Number of versions.
    pub(crate) total: i64,
    /// Always null: this list has one page.
    pub(crate) next_cursor: Option<String>,
}

impl From<VersionRow> for VersionView {
    fn from(row: VersionRow) -> Self {
        Self {
            state: row.cut_off().state(row.now),
            installation: row.installation,
            version: row.version,
            runners: row.runners,
            stated: row.stated,
            registration_deprecates_at: row.registration_deprecates_at,
            runtime_deprecates_at: row.runtime_deprecates_at,
            checked_at: row.checked_at,
        }
    }
}

problems! { VersionProblems: AdminRequired; }

/// List the versions of the runner software in use, and how long GitHub accepts them.
///
/// For admins and viewers. Versions come from callers' requests and from GitHub's reports.
#[utoipa::path(
    get, path = "/admin/runners/versions", tag = "admin",
    responses((status = 200, description = "As of the last sync run", body = VersionList), VersionProblems),
)]
pub(crate) async fn list(
    State(app): State<AppState>,
    SeesAll(caller): SeesAll,
) -> ApiResult<Listing<VersionList>> {
    let mut lists = app.lists(&caller).await?;
    let listed = lists.versions().in_use().await;
    lists.respond(listed, |listed| VersionList {
        versions: listed.items.into_iter().map(VersionView::from).collect(),
        total: listed.total,
        next_cursor: None,
    })
}
