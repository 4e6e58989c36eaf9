//! The audit log.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use domain::{RunnerId, resolve_audit_event};
use store::{AuditFilter, Visible};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    app::AppState,
    body::{Params, filtered_team},
    caller::Authorised,
    error::ApiResult,
    openapi::problems,
    page::{list_body, list_params},
    views::AuditView,
};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list))
}

list_params! {
    /// Which rows.
    AuditParams {
        /// Only of this event type; names of the predecessor count too.
        event_type: String = String,
        /// Only of this team, by id or name; also as `team_id`.
        #[serde(alias = "team_id")]
        team: String = String,
        /// Only about this runner.
        runner: Uuid = Uuid,
        /// Only by this identity; also as `user_identity`.
        #[serde(alias = "user_identity")]
        user: String = String,
        /// Only successes, or only failures.
        success: bool = bool,
        /// Only since then (RFC 3339).
        since: DateTime<Utc> = String,
    }
}

list_body! {
    /// A page of the audit log.
    AuditList { logs: AuditView }
}

problems! { AuditProblems: ValidationFailed; }

/// List what was done and tried: by you and in your teams; admins see all.
///
/// Newest first. Equal refusals of one minute share a row, which counts them in `occurrences`.
#[utoipa::path(
    get, path = "/audit-logs", tag = "audit", params(AuditParams),
    responses((status = 200, description = "Newest first", body = AuditList), AuditProblems),
)]
pub(crate) async fn list(
    State(app): State<AppState>,
    Authorised(caller): Authorised,
    Params(params): Params<AuditParams>,
) -> ApiResult<Json<AuditList>> {
    let page = params.page()?;
    let (event_type, success) = match params.event_type {
        Some(name) => {
            let (event_type, success) = resolve_audit_event(name, params.success);
            (Some(event_type), success)
        }
        None => (None, params.success),
    };
    let filter = AuditFilter {
        event_type,
        team: filtered_team(&app, params.team.as_deref()).await?,
        runner: params.runner.map(RunnerId::from),
        identity: params.user,
        success,
        since: params.since,
    };
    let mut lists = app.lists(&caller).await?;
    let listed = lists.audit().list(&Visible::to(&caller), &filter, page).await;
    let listed = lists.finish(listed)?;
    Ok(Json(AuditList::new(listed)))
}
