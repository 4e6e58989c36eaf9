//! Changes of one machine client.

use axum::{Json, extract::State, http::StatusCode};
use domain::{ClaimRule, ClientId};
use operations::ClientChange;
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::{Comment, named};
use crate::{
    app::AppState,
    body::{Body, Id},
    caller::Administers,
    error::ApiResult,
    openapi::problems,
    views::{ClaimRuleBody, ClientView},
};

problems! {
    ChangeProblems: MalformedBody, AdminRequired, NotFound, PayloadTooLarge, UnsupportedMediaType, ValidationFailed;
}

/// What changes about a machine client: only what is named.
#[expect(clippy::option_option, reason = "a member that is not there and a null are two things in a PATCH")]
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ChangedClient {
    /// What it is.
    #[serde(deserialize_with = "named")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 1000)]
    description: Option<Option<String>>,
    /// Which tokens are meant, for a client that has a rule.
    rule: Option<ClaimRuleBody>,
    /// May do anything at all. When it becomes false, open requests are cancelled and unread configs shredded.
    is_active: Option<bool>,
    /// For the audit log, 1 to 500 characters.
    #[schema(min_length = 1, max_length = 500)]
    comment: Option<String>,
}

/// Change a machine client.
///
/// Only the members sent change. Client id, issuer and team stay: they are who it is.
#[utoipa::path(
    patch, path = "/admin/oauth-clients/{id}", tag = "admin", params(("id" = Uuid, Path)),
    request_body = ChangedClient,
    responses((status = 200, description = "The machine client as it is now", body = ClientView), ChangeProblems),
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
/// It may do nothing any more: its streams and waiting requests end, its open requests are cancelled and its unread
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
