//! Administration of machine clients: create, list and show.

pub(crate) mod change;
pub(crate) mod token;
pub(crate) mod view;

use axum::{Json, extract::State, http::StatusCode};
use domain::{ClaimRule, ClientId, Problem, TeamId};
use operations::{check_client_draft, settle};
use serde::Deserialize;
use store::{ClientFilter, NewClient};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use self::view::{ClaimRuleBody, ClientView};
use super::check_issuer;
use crate::{
    app::AppState,
    body::{Body, Id, Params, filtered_team},
    caller::{Administers, SeesAll},
    error::ApiResult,
    filters::name_search,
    lists::Listing,
    openapi::problems,
    page::{list_body, list_params, only_active},
};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(show, change::patch, change::remove))
        .routes(routes!(token::test))
}

list_params! {
    /// Filters of the list of machine clients.
    ClientParams {
        /// Only of this team, by id or name; also as `team_id`.
        #[serde(alias = "team_id")]
        team: String = String,
        /// Only active machine clients.
        active_only: bool = bool,
        /// The opposite of `active_only`.
        include_inactive: bool = bool,
        /// Only with this text in client id or description; 1 to 100 characters, in any case.
        q: String = String,
    }
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
    /// Client id at the identity provider; with a rule, a name for the client.
    #[schema(example = "ci-pipeline", min_length = 1, max_length = 255)]
    pub(crate) client_id: String,
    /// Issuer of its tokens, one of those configured; by default the first one.
    #[schema(min_length = 1, max_length = 500)]
    pub(crate) issuer: Option<String>,
    /// The team it acts for.
    pub(crate) team_id: Uuid,
    /// Free text about the client.
    #[schema(min_length = 1, max_length = 1000)]
    pub(crate) description: Option<String>,
    /// Rule that selects its tokens if they have no client id (GitHub Actions, Kubernetes).
    pub(crate) rule: Option<ClaimRuleBody>,
}

/// Add a machine client.
///
/// For admins. The client is recognised by the `client_id` in its tokens, or by `rule` if its tokens have no client id
/// of their own.
#[utoipa::path(
    post, path = "/admin/oauth-clients", tag = "admin", request_body = NewClientBody,
    responses((status = 201, description = "Added", body = ClientView), CreateProblems),
)]
pub(crate) async fn create(
    State(app): State<AppState>,
    Administers(admin): Administers,
    Body(body): Body<NewClientBody>,
) -> ApiResult<(StatusCode, Json<ClientView>)> {
    let client = app.operations().create_client(&admin, &draft(&app, body)?).await?;
    Ok((StatusCode::CREATED, Json(client.into())))
}

fn draft(app: &AppState, body: NewClientBody) -> Result<NewClient, Problem> {
    let mut wrong = Vec::new();
    let issuer = body.issuer.unwrap_or_else(|| app.default_issuer.clone());
    check_issuer(app, &mut wrong, &issuer);
    let draft = NewClient {
        client_id: body.client_id,
        issuer,
        team: TeamId::from(body.team_id),
        description: body.description,
        rule: body.rule.map(|rule| ClaimRule { subject: rule.subject, claims: rule.claims }),
    };
    wrong.extend(check_client_draft(&draft));
    settle(wrong)?;
    Ok(draft)
}

/// List all machine clients.
///
/// For admins and viewers, newest first. The list includes deactivated machine clients unless `active_only` is true.
#[utoipa::path(
    get, path = "/admin/oauth-clients", tag = "admin", params(ClientParams),
    responses((status = 200, description = "Newest first", body = ClientList), ListProblems),
)]
pub(crate) async fn list(
    State(app): State<AppState>,
    SeesAll(caller): SeesAll,
    Params(params): Params<ClientParams>,
) -> ApiResult<Listing<ClientList>> {
    let page = params.page()?;
    let filter = ClientFilter {
        team: filtered_team(&app, params.team.as_deref()).await?,
        active_only: only_active(params.active_only, params.include_inactive)?,
        search: name_search(params.q.as_deref())?,
    };
    let mut lists = app.lists(&caller).await?;
    let listed = lists.clients().list(&filter, page).await;
    lists.respond(listed, ClientList::new)
}

/// Show a machine client.
///
/// For admins and viewers.
#[utoipa::path(
    get, path = "/admin/oauth-clients/{id}", tag = "admin", params(("id" = Uuid, Path)),
    responses((status = 200, description = "The machine client", body = ClientView), ShowProblems),
)]
pub(crate) async fn show(
    State(app): State<AppState>,
    _: SeesAll,
    Id(id): Id<ClientId>,
) -> ApiResult<Json<ClientView>> {
    let client = app.store.conn().await?.clients().get(id).await?;
    Ok(Json(client.ok_or_else(|| Problem::not_found("machine client"))?.into()))
}
