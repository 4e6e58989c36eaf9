//! Pauses of lanes and installations by admins.

use axum::{Json, extract::State};
use domain::{InstallationId, Lane, PauseScope, Problem};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::queues::{Queues, queue_status};
use crate::{
    app::AppState,
    body::{Body, Id},
    caller::Administers,
    error::ApiResult,
    openapi::problems,
};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(pause_lane))
        .routes(routes!(resume_lane))
        .routes(routes!(pause_installation))
        .routes(routes!(resume_installation))
}

/// Duration of a pause and its reason.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PauseBody {
    /// Seconds, at most one day.
    #[schema(minimum = 1, maximum = 86400)]
    pub(crate) seconds: u64,
    /// Reason, for the audit log and for everybody who sees the pause, 1 to 500 characters.
    #[schema(min_length = 1, max_length = 500)]
    pub(crate) reason: Option<String>,
}

problems! {
    PauseProblems: MalformedBody, AdminRequired, NotFound, PayloadTooLarge, UnsupportedMediaType, ValidationFailed,
        QueueUnavailable;
    ResumeProblems: AdminRequired, NotFound, QueueUnavailable;
}

/// Returns the scope of a configured installation.
fn configured(app: &AppState, installation: InstallationId) -> Result<PauseScope, Problem> {
    if app.installations.contains_key(&installation) || app.further_apps.contains_key(&installation) {
        return Ok(PauseScope::Installation(installation));
    }
    Err(Problem::not_found("installation"))
}

/// Pause a lane for all installations. Running jobs finish; waiting jobs wait, up to their deadline.
///
/// For admins. It never shortens a longer pause.
#[utoipa::path(
    post, path = "/admin/queues/{lane}/pause", tag = "admin",
    params(("lane" = String, Path, description = "`provision`, `deprovision` or `drift`")), request_body = PauseBody,
    responses((status = 200, description = "The updated queue", body = Queues), PauseProblems),
)]
pub(crate) async fn pause_lane(
    State(app): State<AppState>,
    Administers(admin): Administers,
    Id(lane): Id<Lane>,
    Body(body): Body<PauseBody>,
) -> ApiResult<Json<Queues>> {
    let scope = PauseScope::Lane(lane);
    app.operations().pause(&admin, &scope, body.seconds, body.reason.as_deref()).await?;
    queue_status(&app).await
}

/// Resume a lane.
///
/// For admins. Pauses for GitHub's limits stay.
#[utoipa::path(
    post, path = "/admin/queues/{lane}/resume", tag = "admin",
    params(("lane" = String, Path, description = "`provision`, `deprovision` or `drift`")),
    responses((status = 200, description = "The updated queue", body = Queues), ResumeProblems),
)]
pub(crate) async fn resume_lane(
    State(app): State<AppState>,
    Administers(admin): Administers,
    Id(lane): Id<Lane>,
) -> ApiResult<Json<Queues>> {
    app.operations().resume(&admin, &PauseScope::Lane(lane)).await?;
    queue_status(&app).await
}

/// Pause all lanes of one installation. Running jobs finish; waiting jobs wait, up to their deadline.
///
/// For admins. It never shortens a longer pause. The name of an App pool's first App pauses the pool, and that of a
/// further App only this App: the jobs go on with the others.
#[utoipa::path(
    post, path = "/admin/installations/{installation}/pause", tag = "admin",
    params(("installation" = String, Path, description = "A configured installation")), request_body = PauseBody,
    responses((status = 200, description = "The updated queue", body = Queues), PauseProblems),
)]
pub(crate) async fn pause_installation(
    State(app): State<AppState>,
    Administers(admin): Administers,
    Id(installation): Id<InstallationId>,
    Body(body): Body<PauseBody>,
) -> ApiResult<Json<Queues>> {
    let scope = configured(&app, installation)?;
    app.operations().pause(&admin, &scope, body.seconds, body.reason.as_deref()).await?;
    queue_status(&app).await
}

/// Resume an installation.
///
/// For admins. Pauses for GitHub's limits stay, and an installation that GitHub has suspended stays paused.
#[utoipa::path(
    post, path = "/admin/installations/{installation}/resume", tag = "admin",
    params(("installation" = String, Path, description = "A configured installation")),
    responses((status = 200, description = "The updated queue", body = Queues), ResumeProblems),
)]
pub(crate) async fn resume_installation(
    State(app): State<AppState>,
    Administers(admin): Administers,
    Id(installation): Id<InstallationId>,
) -> ApiResult<Json<Queues>> {
    let scope = configured(&app, installation)?;
    app.operations().resume(&admin, &scope).await?;
    queue_status(&app).await
}
