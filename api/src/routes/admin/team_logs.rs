//! Audit rows and security events of one team.

use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::{RunnerId, Severity, TeamId, resolve_security_event};
use operations::TeamReader;
use store::{AuditFilter, SecurityFilter, Visible};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::security::SecurityList;
use crate::{
    app::AppState,
    body::{Id, Params},
    caller::ReadsTeams,
    error::ApiResult,
    filters::list_period,
    lists::Listing,
    openapi::problems,
    page::list_params,
    routes::audit::{AuditList, resolve_event},
};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(audit_logs)).routes(routes!(security_events))
}

list_params! {
    /// Filters of a team's audit log.
    TeamAuditParams {
        /// Only of this event type; the predecessor's names are accepted too.
        event_type: String = String,
        /// Only about this runner.
        runner: Uuid = Uuid,
        /// Only of this identity; also as `user_identity`.
        #[serde(alias = "user_identity")]
        user: String = String,
        /// Only successes, or only failures.
        success: bool = bool,
        /// Only rows since this time (RFC 3339).
        since: DateTime<Utc> = String,
        /// Only rows until this time (RFC 3339).
        until: DateTime<Utc> = String,
    }
}

list_params! {
    /// Filters of a team's security events.
    TeamSecurityParams {
        /// Only of this event type; the predecessor's names are accepted too.
        event_type: String = String,
        /// Only of this severity.
        severity: Severity = String,
        /// Only of this identity; also as `user_identity`.
        #[serde(alias = "user_identity")]
        user: String = String,
        /// Only events since this time (RFC 3339).
        since: DateTime<Utc> = String,
        /// Only events until this time (RFC 3339).
        until: DateTime<Utc> = String,
    }
}

problems! { TeamLogProblems: AdminRequired, NotFound, ValidationFailed; }

/// List the audit rows of a team: of any team for admins and viewers, of their own teams for other users.
///
/// Newest first.
#[utoipa::path(
    get, path = "/admin/teams/{team_id}/audit-logs", tag = "admin",
    params(("team_id" = Uuid, Path), TeamAuditParams),
    responses((status = 200, description = "Newest first", body = AuditList), TeamLogProblems),
)]
pub(crate) async fn audit_logs(
    State(app): State<AppState>,
    ReadsTeams(caller): ReadsTeams,
    Id(id): Id<TeamId>,
    Params(params): Params<TeamAuditParams>,
) -> ApiResult<Listing<AuditList>> {
    let page = params.page()?;
    let period = list_period(params.since, params.until)?;
    let mut lists = app.lists(&caller).await?;
    let permission = TeamReader::from_caller(&caller, lists.teams().basics(id).await?)?;
    let (event_type, success) = resolve_event(params.event_type, params.success);
    let filter = AuditFilter {
        event_type,
        team: Some(permission.team().id),
        runner: params.runner.map(RunnerId::from),
        identity: params.user,
        success,
        search: None,
        period,
    };
    let listed = lists.audit().list(&Visible::everything(), &filter, page).await;
    lists.respond(listed, AuditList::new)
}

/// List the security events of a team: of any team for admins and viewers, of their own teams for other users.
///
/// Newest first.
#[utoipa::path(
    get, path = "/admin/teams/{team_id}/security-events", tag = "admin",
    params(("team_id" = Uuid, Path), TeamSecurityParams),
    responses((status = 200, description = "Newest first", body = SecurityList), TeamLogProblems),
)]
pub(crate) async fn security_events(
    State(app): State<AppState>,
    ReadsTeams(caller): ReadsTeams,
    Id(id): Id<TeamId>,
    Params(params): Params<TeamSecurityParams>,
) -> ApiResult<Listing<SecurityList>> {
    let page = params.page()?;
    let period = list_period(params.since, params.until)?;
    let mut lists = app.lists(&caller).await?;
    let permission = TeamReader::from_caller(&caller, lists.teams().basics(id).await?)?;
    let filter = SecurityFilter {
        event_type: params.event_type.map(resolve_security_event),
        severity: params.severity,
        identity: params.user,
        team: Some(permission.team().id),
        search: None,
        period,
        acknowledged: None,
    };
    let listed = lists.audit().alarms(&filter, page).await;
    lists.respond(listed, SecurityList::new)
}
