//! The incident switch.

pub(crate) mod view;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{FieldError, IncidentKind, Problem};
use operations::BATCH_TIME;
use serde::Deserialize;
use store::{IncidentRow, IncidentTarget};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use self::view::{IncidentList, IncidentPreview, IncidentSummary, IncidentView};
use crate::{
    app::AppState,
    body::{Body, Id, find_team},
    caller::{ActingAdmin, SeesAll},
    error::ApiResult,
    lists::Listing,
    openapi::problems,
};

/// Most incidents in a list.
const MAX_LISTED: i64 = 100;

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(begin, list)).routes(routes!(show)).routes(routes!(undo))
}

problems! {
    BeginProblems: MalformedBody, AdminRequired, NotFound, AlreadyExists, PayloadTooLarge, UnsupportedMediaType,
        ValidationFailed;
    ListProblems: AdminRequired;
    ShowProblems: AdminRequired, NotFound;
    UndoProblems: AdminRequired, NotFound, ValidationFailed;
}

/// An incident. Name exactly one target.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewIncidentBody {
    /// A team, by name or id.
    pub(crate) team: Option<String>,
    /// An issuer: all its tokens are refused.
    #[schema(example = "https://login.example.com/")]
    pub(crate) issuer: Option<String>,
    /// A person, by e-mail address or id.
    pub(crate) user: Option<String>,
    /// A machine client, by its client id or its id.
    pub(crate) client: Option<String>,
    /// Reason, for the audit log; members of a team see it.
    #[schema(min_length = 10, max_length = 500)]
    pub(crate) reason: String,
    /// Only show what would end.
    #[serde(default)]
    pub(crate) dry_run: bool,
}

impl NewIncidentBody {
    /// Returns the one target that is named.
    async fn target(&self, app: &AppState) -> ApiResult<IncidentTarget> {
        let named = [
            (IncidentKind::Team, &self.team),
            (IncidentKind::Issuer, &self.issuer),
            (IncidentKind::User, &self.user),
            (IncidentKind::Client, &self.client),
        ];
        let mut given = named.into_iter().filter_map(|(kind, name)| Some((kind, name.as_deref()?)));
        let (Some((kind, name)), None) = (given.next(), given.next()) else {
            let detail = "name exactly one of team, issuer, user and client";
            return Err(Problem::invalid(vec![FieldError::new("", detail)]).into());
        };
        find_target(app, kind, name).await
    }
}

/// Returns the target with this name or id.
pub(crate) async fn find_target(app: &AppState, kind: IncidentKind, name: &str) -> ApiResult<IncidentTarget> {
    let unknown = || Problem::field(format!("/{kind}"), "nothing here has this name or id");
    let (id, name) = match kind {
        IncidentKind::Issuer => {
            if !app.verifier.trusts(name) {
                return Err(Problem::field("/issuer", app.verifier.expected_issuers(name)).into());
            }
            (None, name.to_owned())
        }
        IncidentKind::Team => {
            let team = find_team(app, name).await?.ok_or_else(unknown)?;
            (Some(team.id.uuid()), team.name)
        }
        IncidentKind::User => {
            let mut conn = app.store.conn().await?;
            let user = match name.parse() {
                Ok(id) => conn.users().get(id).await?,
                Err(_) => conn.users().by_email(name).await?,
            };
            let user = user.ok_or_else(unknown)?;
            (Some(user.id.uuid()), user.email.unwrap_or_else(|| name.to_owned()))
        }
        IncidentKind::Client => {
            let mut conn = app.store.conn().await?;
            let clients = match name.parse() {
                Ok(id) => conn.clients().get(id).await?.into_iter().collect(),
                Err(_) => conn.clients().by_client_id(name).await?,
            };
            let [client] = clients.as_slice() else {
                let detail = format!("{} machine clients have this name; use the id", clients.len());
                return Err(Problem::field("/client", detail).into());
            };
            (Some(client.id.uuid()), client.client_id.clone())
        }
    };
    Ok(IncidentTarget { kind, id, name })
}

/// End at once everything that a team, an issuer, a person or a machine client could still do.
///
/// New requests are refused, streams end, open requests are cancelled, configs are shredded, and idle runners are removed.
/// Runners that run a workflow job are listed; removing them would end the job. An issuer's people and clients keep their
/// accounts. You cannot end your own access.
#[utoipa::path(
    post, path = "/admin/incidents", tag = "admin", request_body = NewIncidentBody,
    responses(
        (status = 200, description = "What would end (`dry_run`)", body = IncidentPreview),
        (status = 201, description = "Access has ended", body = IncidentView,
            headers(("Location" = String, description = "The report"))),
        (status = 202, description = "New requests are refused; the scheduler ends the rest", body = IncidentView,
            headers(("Location" = String, description = "The report"))),
        BeginProblems,
    ),
)]
pub(crate) async fn begin(
    State(app): State<AppState>,
    admin: ActingAdmin,
    Body(body): Body<NewIncidentBody>,
) -> ApiResult<Response> {
    let target = body.target(&app).await?;
    let operations = app.operations();
    if body.dry_run {
        let (items, scope, busy) = operations.preview_incident(admin.actor(), &target, &body.reason).await?;
        return Ok(Json(IncidentPreview::new(&target, items, scope, busy)).into_response());
    }
    let incident = operations.begin_incident(admin.actor(), &admin.permission, &target, &body.reason).await?;
    let view = run(&app, incident).await?;
    let status = if view.is_over() { StatusCode::CREATED } else { StatusCode::ACCEPTED };
    let location = format!("/api/v1/admin/incidents/{}", view.id());
    Ok((status, [(header::LOCATION, location)], Json(view)).into_response())
}

/// Works on an incident for a while. Returns its report.
pub(crate) async fn run(app: &AppState, incident: IncidentRow) -> ApiResult<IncidentView> {
    let worker = format!("api {}", Uuid::new_v4());
    app.operations().run_incident(incident.id, &worker, BATCH_TIME).await?;
    Ok(app.operations().incident_report(incident.id).await?.into())
}

/// List the newest incidents, without their changes.
///
/// For admins and viewers, newest first, at most 100.
#[utoipa::path(
    get, path = "/admin/incidents", tag = "admin",
    responses((status = 200, description = "Newest first", body = IncidentList), ListProblems),
)]
pub(crate) async fn list(
    State(app): State<AppState>,
    SeesAll(caller): SeesAll,
) -> ApiResult<Listing<IncidentList>> {
    let mut lists = app.lists(&caller).await?;
    let rows = lists.incidents().newest(MAX_LISTED).await;
    lists.respond(rows, |rows| IncidentList {
        incidents: rows.into_iter().map(IncidentSummary::from).collect(),
    })
}

/// Show the report of an incident: what was ended, what is left, and which runners are busy.
///
/// For admins and viewers. `left` and `busy_runners` are as of now.
#[utoipa::path(
    get, path = "/admin/incidents/{incident_id}", tag = "admin", params(("incident_id" = Uuid, Path)),
    responses((status = 200, description = "The report", body = IncidentView), ShowProblems),
)]
pub(crate) async fn show(
    State(app): State<AppState>,
    SeesAll(_): SeesAll,
    Id(id): Id<Uuid>,
) -> ApiResult<Json<IncidentView>> {
    Ok(Json(app.operations().incident_report(id).await?.into()))
}

/// Undo an incident: exactly what it switched off is switched on again.
///
/// Requests that were cancelled and runners that were removed do not come back; they may be requested again.
#[utoipa::path(
    post, path = "/admin/incidents/{incident_id}/undo", tag = "admin", params(("incident_id" = Uuid, Path)),
    responses(
        (status = 200, description = "Access is restored", body = IncidentView),
        (status = 202, description = "The scheduler restores the rest", body = IncidentView),
        UndoProblems,
    ),
)]
pub(crate) async fn undo(
    State(app): State<AppState>,
    admin: ActingAdmin,
    Id(id): Id<Uuid>,
) -> ApiResult<Response> {
    let incident = app.operations().undo_incident(admin.actor(), &admin.permission, id).await?;
    let view = run(&app, incident).await?;
    let status = if view.is_over() { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(view)).into_response())
}
