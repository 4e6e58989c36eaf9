//! Creation of claim tickets.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use operations::{Actor, TicketDraft};

use super::{request::TicketBody, view::NewTicketView};
use crate::{
    app::AppState, body::Body, caller::Authorised, credential, error::ApiResult, openapi::problems,
    origin::RequestOrigin,
};

problems! {
    CreateProblems: MalformedBody, JitNotAllowed, LabelPolicyViolation, RunnerGroupNotAllowed, QuotaExceeded,
        TeamForbidden, TeamInactive, PayloadTooLarge, UnsupportedMediaType, ValidationFailed, TeamRequired,
        GithubUnavailable;
}

/// Make a claim ticket.
///
/// A ticket promises one runner to a machine that does not run yet. The machine redeems it at
/// `POST /runners/tickets/redeem`, and only then a config is made. The ticket's text is in this response alone: the
/// service keeps its hash. The label policy is checked now and again at the redemption; the quota counts at the redemption.
/// A team has at most 500 open tickets.
#[utoipa::path(
    post, path = "/runners/tickets", tag = "tickets", request_body = TicketBody,
    responses(
        (status = 201, description = "The ticket", body = NewTicketView, headers(("Cache-Control" = String))),
        CreateProblems,
    ),
)]
pub(crate) async fn create(
    State(app): State<AppState>,
    Authorised(caller): Authorised,
    RequestOrigin(origin): RequestOrigin,
    Body(body): Body<TicketBody>,
) -> ApiResult<Response> {
    let checked = body.check(&app, &caller)?;
    let draft = TicketDraft {
        by: Actor { caller: &caller, origin: &origin },
        team: checked.team,
        runner: checked.runner,
        holder: checked.holder,
        life: checked.life,
    };
    let (ticket, secret) = app.operations().create_ticket(&app.provision_rules(), &draft).await?;
    let view = NewTicketView::new(ticket, &secret);
    Ok((StatusCode::CREATED, credential::NO_STORE, Json(view)).into_response())
}
