//! List of audit rows.

use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::{RunnerId, resolve_audit_event};
use serde::Serialize;
use serde_json::Value;
use store::{AuditFilter, AuditRow, Visible};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    app::AppState,
    body::{Params, filtered_team},
    caller::Authorised,
    error::ApiResult,
    filters::{history_search, list_period},
    lists::{ListSource, Listing},
    openapi::problems,
    page::{list_body, list_params},
};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// An audit row.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = AuditRow)]
pub(crate) struct AuditView {
    /// Id of the row.
    pub(crate) id: Uuid,
    /// Event type, as `noun.verb`.
    #[schema(example = "runner.provision")]
    pub(crate) event_type: String,
    /// Identity of the actor; null for the service itself.
    pub(crate) user_identity: Option<String>,
    /// Subject of the actor's token; null for the service itself and in rows of earlier releases.
    pub(crate) oidc_sub: Option<String>,
    /// Id of the runner.
    pub(crate) runner_id: Option<Uuid>,
    /// Name of the runner.
    pub(crate) runner_name: Option<String>,
    /// Id of the team.
    pub(crate) team_id: Option<Uuid>,
    /// Current name of the team.
    pub(crate) team_name: Option<String>,
    /// Id of the job.
    pub(crate) job_id: Option<Uuid>,
    /// Client address of the request.
    pub(crate) request_ip: Option<String>,
    /// User agent of the request.
    pub(crate) user_agent: Option<String>,
    /// Id of the request.
    pub(crate) request_id: Option<String>,
    /// Details of the event.
    #[schema(value_type = Option<Object>)]
    pub(crate) event_data: Option<Value>,
    /// Whether the action was done.
    pub(crate) success: bool,
    /// Error of an action that was not done.
    pub(crate) error_message: Option<String>,
    /// Time of the event; of several occurrences the first.
    pub(crate) timestamp: DateTime<Utc>,
    /// Number of occurrences within that minute: equal refusals are one row.
    pub(crate) occurrences: i32,
    /// Time of the last occurrence; null if there was only one.
    pub(crate) last_at: Option<DateTime<Utc>>,
}

impl From<AuditRow> for AuditView {
    fn from(row: AuditRow) -> Self {
        Self {
            id: row.id,
            event_type: row.event_type,
            user_identity: row.user_identity,
            oidc_sub: row.oidc_sub,
            runner_id: row.runner_id,
            runner_name: row.runner_name,
            team_id: row.team_id,
            team_name: row.team_name,
            job_id: row.job_id,
            request_ip: row.request_ip,
            user_agent: row.user_agent,
            request_id: row.request_id,
            event_data: row.event_data,
            success: row.success,
            error_message: row.error_message,
            timestamp: row.timestamp,
            occurrences: row.occurrences,
            last_at: row.last_at,
        }
    }
}

list_params! {
    /// Filters of the audit log.
    AuditParams {
        /// Only of this event type; the predecessor's names are accepted too.
        event_type: String = String,
        /// Only of this team, by id or name; also as `team_id`.
        #[serde(alias = "team_id")]
        team: String = String,
        /// Only about this runner.
        runner: Uuid = Uuid,
        /// Only of this identity; also as `user_identity`.
        #[serde(alias = "user_identity")]
        user: String = String,
        /// Only successes, or only failures.
        success: bool = bool,
        /// Only about this: the beginning of a runner's name, of a person's e-mail address or name, or of a client id;
        /// a row's id; or an event type. 1 to 100 characters, in any case. Of runners, people and
        /// clients that the text names, the newest 50 of each are meant.
        q: String = String,
        /// Only rows since this time (RFC 3339).
        since: DateTime<Utc> = String,
        /// Only rows until this time (RFC 3339).
        until: DateTime<Utc> = String,
    }
}

list_body! {
    /// A page of the audit log.
    AuditList { logs: AuditView }
}

problems! { AuditProblems: ValidationFailed; }

/// List audit rows: your own and your teams'; all for admins and viewers.
///
/// Newest first. Equal refusals within one minute share a row, which counts them in `occurrences`.
#[utoipa::path(
    get, path = "/audit-logs", tag = "audit", params(AuditParams),
    responses((status = 200, description = "Newest first", body = AuditList,
        headers(("X-Data-Age" = u64, description = "Age of the data in seconds, if a replica answered"))), AuditProblems),
)]
pub(crate) async fn list(
    State(app): State<AppState>,
    source: ListSource,
    Authorised(caller): Authorised,
    Params(params): Params<AuditParams>,
) -> ApiResult<Listing<AuditList>> {
    let page = params.page()?;
    let period = list_period(params.since, params.until)?;
    let (event_type, success) = resolve_event(params.event_type, params.success);
    let team = filtered_team(&app, params.team.as_deref()).await?;
    let mut lists = app.lists_from(source, &caller).await?;
    let filter = AuditFilter {
        event_type,
        team,
        runner: params.runner.map(RunnerId::from),
        identity: params.user,
        success,
        search: history_search(&mut lists, params.q.as_deref()).await?,
        period,
    };
    let listed = lists.audit().list(&Visible::to(&caller), &filter, page).await;
    lists.respond(listed, AuditList::new)
}

/// Returns the event type and outcome of a filter, whose event type may be a name of the predecessor.
pub(super) fn resolve_event(name: Option<String>, success: Option<bool>) -> (Option<String>, Option<bool>) {
    match name {
        Some(name) => {
            let (event_type, success) = resolve_audit_event(name, success);
            (Some(event_type), success)
        }
        None => (None, success),
    }
}
