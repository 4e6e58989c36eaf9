//! Which runner software runs.

use axum::{Json, extract::State};
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
    openapi::{self, problems},
};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// A version in use.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RunnerVersion)]
pub(crate) struct VersionView {
    /// Where.
    installation: String,
    /// Which.
    version: String,
    /// `unknown`: GitHub does not say until when it takes it.
    #[schema(schema_with = openapi::version_state)]
    state: VersionState,
    /// Live runners that GitHub says run it.
    runners: i64,
    /// Live runners that were to run it by what their callers said, and were not connected yet.
    stated: i64,
    /// New runners of it may be registered until then.
    registration_deprecates_at: Option<DateTime<Utc>>,
    /// Registered runners of it may run until then.
    runtime_deprecates_at: Option<DateTime<Utc>>,
    /// When GitHub was asked, at most once a day.
    checked_at: Option<DateTime<Utc>>,
}

/// The versions in use.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VersionList {
    /// By installation, the most used first; at most 1,000.
    versions: Vec<VersionView>,
    /// How many.
    total: i64,
    /// Always null: this list has one page.
    next_cursor: Option<String>,
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

/// List the versions of the runner software in use, and until when GitHub takes them.
///
/// For admins and viewers. Versions come from what callers state and from what GitHub reports.
#[utoipa::path(
    get, path = "/admin/runners/versions", tag = "admin",
    responses((status = 200, description = "As of the last pass", body = VersionList), VersionProblems),
)]
pub(crate) async fn list(
    State(app): State<AppState>,
    SeesAll(caller): SeesAll,
) -> ApiResult<Json<VersionList>> {
    let mut lists = app.lists(&caller).await?;
    let listed = lists.versions().in_use().await;
    let listed = lists.finish(listed)?;
    let versions = listed.items.into_iter().map(VersionView::from).collect();
    Ok(Json(VersionList { versions, total: listed.total, next_cursor: None }))
}
