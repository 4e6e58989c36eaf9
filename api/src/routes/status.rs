//! State of the service for those who want a runner.

use axum::{Json, extract::State};
use domain::VerdictLevel;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::AppState,
    caller::Authorised,
    openapi::{self, problems},
    ui::Outlook,
};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(show))
}

/// State of the service for someone who wants a runner.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ServiceStatus)]
pub(crate) struct StatusView {
    /// `ok` (new runners start at once), `slow` (they wait), `stopped` (none starts), or `note` (the state cannot be
    /// read at the moment).
    #[schema(schema_with = openapi::verdict_level)]
    pub(crate) level: VerdictLevel,
    /// What this means for a new runner, in one sentence.
    #[schema(example = "New runners start at once.")]
    pub(crate) sentence: String,
}

problems! { StatusProblems: ; }

/// Show whether new runners start, and why not.
///
/// For every caller. Admins and viewers get the facts by `GET /admin/verdict`.
#[utoipa::path(
    get, path = "/status", tag = "me",
    responses((status = 200, description = "The state", body = StatusView), StatusProblems),
)]
pub(crate) async fn show(State(app): State<AppState>, Authorised(_): Authorised) -> Json<StatusView> {
    let snapshot = app.snapshots().get(&app).await;
    let outlook = snapshot.as_deref().map(Outlook::of);
    let unknown = || StatusView {
        level: VerdictLevel::Note,
        sentence: "The state of the service cannot be read at the moment.".to_owned(),
    };
    Json(outlook.map_or_else(unknown, |known| StatusView { level: known.level, sentence: known.sentence }))
}
