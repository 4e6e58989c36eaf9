//! Machine clients.

mod change;

use axum::{Json, extract::State, http::StatusCode};
use domain::{AuditEntry, ClaimRule, ClientId, FieldError, Problem, TeamId};
use operations::{OperationError, check_optional, check_text, settle};
use serde::Deserialize;
use serde_json::json;
use store::NewClient;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::check_issuer;
use crate::{
    app::App,
    body::{Body, Id, Params},
    caller::{Admin, SeesAll},
    error::ApiResult,
    openapi::problems,
    origin::From_,
    page::{list_body, list_params},
    views::{ClaimRuleBody, ClientView},
};

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(show, change::patch, change::remove))
}

list_params! {
    /// Which machine clients.
    ClientParams {}
}

list_body! {
    /// A page of machine clients.
    ClientList { clients: ClientView }
}

problems! {
    CreateProblems: MalformedBody, AdminRequired, AlreadyExists, PayloadTooLarge, UnsupportedMediaType, ValidationFailed;
    ListProblems: AdminRequired, ValidationFailed;
    ShowProblems: AdminRequired, NotFound;
}

/// A new machine client, bound to one team.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewClientBody {
    /// The identity provider's id for it; with a rule, a name for it.
    #[schema(example = "ci-pipeline")]
    client_id: String,
    /// The issuer whose tokens count, one of those configured; without it, the first one.
    issuer: Option<String>,
    /// The team it acts for.
    team_id: Uuid,
    /// What it is.
    description: Option<String>,
    /// For tokens without a client id (GitHub Actions, Kubernetes): which ones are meant.
    rule: Option<ClaimRuleBody>,
}

/// Add a machine client.
#[utoipa::path(
    post, path = "/admin/oauth-clients", tag = "admin", request_body = NewClientBody,
    responses((status = 201, description = "Added", body = ClientView), CreateProblems),
)]
pub(crate) async fn create(
    State(app): State<App>,
    Admin(caller): Admin,
    From_(origin): From_,
    Body(body): Body<NewClientBody>,
) -> ApiResult<(StatusCode, Json<ClientView>)> {
    let draft = draft(&app, body)?;
    let mut tx = app.store.begin().await?;
    if tx.teams().policy(draft.team).await?.is_none() {
        return Err(Problem::field("/team_id", "there is no such team").into());
    }
    let client = tx.clients().insert(ClientId::new(), &draft).await.map_err(OperationError::from)?;
    let entry = AuditEntry {
        team: Some(client.team),
        data: json!({ "client_id": client.client_id, "issuer": client.issuer, "rule": client.rule }),
        ..AuditEntry::by(&caller, &origin, "client.create")
    };
    tx.audit().write(&entry).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(client.into())))
}

fn draft(app: &App, body: NewClientBody) -> Result<NewClient, Problem> {
    let mut wrong = Vec::new();
    check_text(&mut wrong, "/client_id", &body.client_id, 255);
    let issuer = body.issuer.unwrap_or_else(|| app.default_issuer.clone());
    check_issuer(app, &mut wrong, &issuer);
    check_optional(&mut wrong, "/description", body.description.as_deref(), 1000);
    let rule = body.rule.map(|rule| ClaimRule { subject: rule.subject, claims: rule.claims });
    if let Some(Err(why)) = rule.as_ref().map(ClaimRule::check) {
        wrong.push(FieldError::new("/rule", why));
    }
    settle(wrong)?;
    Ok(NewClient {
        client_id: body.client_id,
        issuer,
        team: TeamId::from(body.team_id),
        description: body.description,
        rule,
    })
}

/// List all machine clients.
#[utoipa::path(
    get, path = "/admin/oauth-clients", tag = "admin", params(ClientParams),
    responses((status = 200, description = "Newest first", body = ClientList), ListProblems),
)]
pub(crate) async fn list(
    State(app): State<App>,
    SeesAll(caller): SeesAll,
    Params(params): Params<ClientParams>,
) -> ApiResult<Json<ClientList>> {
    let page = params.page()?;
    let mut lists = app.lists(&caller).await?;
    let listed = lists.clients().list(page).await;
    let listed = lists.finish(listed)?;
    Ok(Json(ClientList::new(listed)))
}

/// Show a machine client.
#[utoipa::path(
    get, path = "/admin/oauth-clients/{id}", tag = "admin", params(("id" = Uuid, Path)),
    responses((status = 200, description = "The machine client", body = ClientView), ShowProblems),
)]
pub(crate) async fn show(
    State(app): State<App>,
    _: SeesAll,
    Id(id): Id<ClientId>,
) -> ApiResult<Json<ClientView>> {
    let client = app.store.read().await?.clients().get(id).await?;
    Ok(Json(client.ok_or_else(|| Problem::not_found("machine client"))?.into()))
}
