//! Security events.

use axum::{Json, extract::State};
use domain::{Severity, resolve_security_event};
use store::SecurityFilter;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::AppState,
    body::{Params, filtered_team},
    caller::SeesAll,
    error::ApiResult,
    openapi::problems,
    page::{list_body, list_params},
    views::SecurityView,
};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list))
}

list_params! {
    /// Which security events.
    SecurityParams {
        /// Only of this event type; names of the predecessor count too.
        event_type: String = String,
        /// Only of this severity.
        severity: Severity = String,
        /// Only of this team, by id or name; also as `team_id`.
        #[serde(alias = "team_id")]
        team: String = String,
        /// Only by this identity; also as `user_identity`.
        #[serde(alias = "user_identity")]
        user: String = String,
    }
}

list_body! {
    /// A page of security events.
    SecurityList { events: SecurityView }
}

problems! { SecurityProblems: AdminRequired, ValidationFailed; }

/// List security events.
///
/// For admins and viewers, newest first. `action_taken` is brought up to date when more is done.
#[utoipa::path(
    get, path = "/admin/security-events", tag = "admin", params(SecurityParams),
    responses((status = 200, description = "Newest first", body = SecurityList), SecurityProblems),
)]
pub(crate) async fn list(
    State(app): State<AppState>,
    SeesAll(caller): SeesAll,
    Params(params): Params<SecurityParams>,
) -> ApiResult<Json<SecurityList>> {
    let page = params.page()?;
    let filter = SecurityFilter {
        event_type: params.event_type.map(resolve_security_event),
        severity: params.severity,
        team: filtered_team(&app, params.team.as_deref()).await?,
        identity: params.user,
    };
    let mut lists = app.lists(&caller).await?;
    let listed = lists.audit().alarms(&filter, page).await;
    let listed = lists.finish(listed)?;
    Ok(Json(SecurityList::new(listed)))
}
