//! Security events: their list, and their acknowledgement.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use domain::{ActionTaken, SecurityEventId, Severity, resolve_security_event};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{SecurityFilter, SecurityRow};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    app::AppState,
    body::{Body, Id, Params, filtered_team},
    caller::{Administers, SeesAll},
    error::ApiResult,
    filters::{history_search, list_period},
    lists::{ListSource, Listing},
    openapi::{self, problems},
    page::{list_body, list_params},
};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(acknowledge))
}

/// A security event.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = SecurityEvent)]
pub(crate) struct SecurityView {
    /// Id of the event.
    pub(crate) id: Uuid,
    /// Event type.
    #[schema(example = "label_policy_violation")]
    pub(crate) event_type: String,
    /// Severity: `low`, `medium`, `high` or `critical`.
    #[schema(schema_with = openapi::severity)]
    pub(crate) severity: String,
    /// Identity of the actor.
    pub(crate) user_identity: Option<String>,
    /// Id of the runner.
    pub(crate) runner_id: Option<Uuid>,
    /// Name of the runner.
    pub(crate) runner_name: Option<String>,
    /// Id of the team.
    pub(crate) team_id: Option<Uuid>,
    /// Details of the event.
    #[schema(value_type = Option<Object>)]
    pub(crate) violation_data: Option<Value>,
    /// Code of the action taken so far.
    #[schema(example = "removal_requested")]
    pub(crate) action_taken: String,
    /// Description of the action taken so far.
    pub(crate) action_detail: &'static str,
    /// Time of the event; of several occurrences the first.
    pub(crate) timestamp: DateTime<Utc>,
    /// Number of occurrences within that minute: equal refusals are one row.
    pub(crate) occurrences: i32,
    /// Time of the last occurrence; null if there was only one.
    pub(crate) last_at: Option<DateTime<Utc>>,
    /// Time at which an admin acknowledged the event.
    pub(crate) acknowledged_at: Option<DateTime<Utc>>,
    /// Identity of that admin.
    pub(crate) acknowledged_by: Option<String>,
    /// Note of that admin.
    pub(crate) note: Option<String>,
}

impl From<SecurityRow> for SecurityView {
    fn from(row: SecurityRow) -> Self {
        Self {
            id: row.id,
            event_type: row.event_type,
            severity: row.severity,
            user_identity: row.user_identity,
            runner_id: row.runner_id,
            runner_name: row.runner_name,
            team_id: row.team_id,
            violation_data: row.violation_data,
            action_detail: row.action_taken.parse().map_or("", ActionTaken::detail),
            action_taken: row.action_taken,
            timestamp: row.timestamp,
            occurrences: row.occurrences,
            last_at: row.last_at,
            acknowledged_at: row.acknowledged_at,
            acknowledged_by: row.acknowledged_by,
            note: row.acknowledgement,
        }
    }
}

list_params! {
    /// Filters of the list of security events.
    SecurityParams {
        /// Only of this event type; the predecessor's names are accepted too.
        event_type: String = String,
        /// Only of this severity.
        severity: Severity = String,
        /// Only of this team, by id or name; also as `team_id`.
        #[serde(alias = "team_id")]
        team: String = String,
        /// Only of this identity; also as `user_identity`.
        #[serde(alias = "user_identity")]
        user: String = String,
        /// Only about this: the beginning of a runner's name, of a person's e-mail address or name, or of a client id;
        /// an event's id; or an event type. 1 to 100 characters, in any case. Of runners, people and
        /// clients that the text names, the newest 50 of each are meant.
        q: String = String,
        /// Only events since this time (RFC 3339).
        since: DateTime<Utc> = String,
        /// Only events until this time (RFC 3339).
        until: DateTime<Utc> = String,
        /// `true` for acknowledged events only, `false` for the others only.
        acknowledged: bool = bool,
    }
}

list_body! {
    /// A page of security events.
    SecurityList { events: SecurityView }
}

/// Note of an acknowledgement.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AcknowledgeBody {
    /// Note, for everybody who sees the event, 1 to 500 characters.
    #[schema(min_length = 1, max_length = 500)]
    pub(crate) note: Option<String>,
}

problems! {
    SecurityProblems: AdminRequired, ValidationFailed;
    AcknowledgeProblems: MalformedBody, AdminRequired, NotFound, PayloadTooLarge, UnsupportedMediaType,
        ValidationFailed;
}

/// List security events.
///
/// For admins and viewers, newest first. `action_taken` is updated when the service takes a further action.
#[utoipa::path(
    get, path = "/admin/security-events", tag = "admin", params(SecurityParams),
    responses((status = 200, description = "Newest first", body = SecurityList,
        headers(("X-Data-Age" = u64, description = "Age of the data in seconds, if a replica answered"))), SecurityProblems),
)]
pub(crate) async fn list(
    State(app): State<AppState>,
    source: ListSource,
    SeesAll(caller): SeesAll,
    Params(params): Params<SecurityParams>,
) -> ApiResult<Listing<SecurityList>> {
    let page = params.page()?;
    let period = list_period(params.since, params.until)?;
    let team = filtered_team(&app, params.team.as_deref()).await?;
    let mut lists = app.lists_from(source, &caller).await?;
    let filter = SecurityFilter {
        event_type: params.event_type.map(resolve_security_event),
        severity: params.severity,
        team,
        identity: params.user,
        search: history_search(&mut lists, params.q.as_deref()).await?,
        period,
        acknowledged: params.acknowledged,
    };
    let listed = lists.audit().alarms(&filter, page).await;
    lists.respond(listed, SecurityList::new)
}

/// Acknowledge a security event: an admin has seen it.
///
/// For admins. The first acknowledgement stays; a later one changes nothing. An empty body or `null` gives no note.
#[utoipa::path(
    post, path = "/admin/security-events/{event_id}/acknowledge", tag = "admin",
    request_body = Option<AcknowledgeBody>, params(("event_id" = uuid::Uuid, Path)),
    responses((status = 200, description = "The event", body = SecurityView), AcknowledgeProblems),
)]
pub(crate) async fn acknowledge(
    State(app): State<AppState>,
    Administers(admin): Administers,
    Id(id): Id<SecurityEventId>,
    body: Option<Body<AcknowledgeBody>>,
) -> ApiResult<Json<SecurityView>> {
    let note = body.and_then(|Body(body)| body.note);
    let event = app.operations().acknowledge_event(&admin, id, note.as_deref()).await?;
    Ok(Json(event.into()))
}
