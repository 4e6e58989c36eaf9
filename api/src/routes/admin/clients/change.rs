//! Administration of machine clients: change and remove.

use axum::{Json, extract::State, http::StatusCode};
use domain::{ClaimRule, ClientId};
use operations::ClientChange;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    super::{Comment, nullable},
    view::{ClaimRuleBody, ClientView},
};
use crate::{
    app::AppState,
    body::{Body, Id},
    caller::Administers,
    error::ApiResult,
    openapi::problems,
};

problems! {
    ChangeProblems: MalformedBody, AdminRequired, NotFound, PayloadTooLarge, UnsupportedMediaType, ValidationFailed;
}

/// Changes of a machine client. Members that are not sent keep their values.
#[expect(clippy::option_option, reason = "an absent member and a null differ in a PATCH")]
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ChangedClient {
    /// Free text about the client.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 1000)]
    pub(crate) description: Option<Option<String>>,
    /// Rule that selects its tokens, for a client that has a rule.
    pub(crate) rule: Option<ClaimRuleBody>,
    /// Whether the client may act. When it becomes false, open requests are cancelled and unread configs shredded.
    pub(crate) is_active: Option<bool>,
    /// Comment for the audit log, 1 to 500 characters.
    #[schema(min_length = 1, max_length = 500)]
    pub(crate) comment: Option<String>,
}

/// Change a machine client.
///
/// Only the members sent change. Client id, issuer and team cannot change, because they identify the client.
#[utoipa::path(
    patch, path = "/admin/oauth-clients/{id}", tag = "admin", params(("id" = Uuid, Path)),
    request_body = ChangedClient,
    responses((status = 200, description = "The updated machine client", body = ClientView), ChangeProblems),
)]
pub(crate) async fn patch(
    State(app): State<AppState>,
    Administers(admin): Administers,
    Id(id): Id<ClientId>,
    Body(body): Body<ChangedClient>,
) -> ApiResult<Json<ClientView>> {
    let change = ClientChange {
        description: body.description,
        rule: body.rule.map(|rule| ClaimRule { subject: rule.subject, claims: rule.claims }),
        is_active: body.is_active,
    };
    let client = app.operations().change_client(&admin, id, change, body.comment.as_deref()).await?;
    Ok(Json(client.into()))
}

/// Remove a machine client.
///
/// The client may no longer act: its streams and waiting requests end, its open requests are cancelled and its unread
/// configs shredded. Its runners stay with the team, and its client id may be used again.
#[utoipa::path(
    delete, path = "/admin/oauth-clients/{id}", tag = "admin", params(("id" = Uuid, Path)),
    request_body = Option<Comment>,
    responses((status = 204, description = "Removed"), ChangeProblems),
)]
pub(crate) async fn remove(
    State(app): State<AppState>,
    Administers(admin): Administers,
    Id(id): Id<ClientId>,
    body: Option<Body<Comment>>,
) -> ApiResult<StatusCode> {
    app.operations().remove_client(&admin, id, Comment::of(body).as_deref()).await?;
    Ok(StatusCode::NO_CONTENT)
}
