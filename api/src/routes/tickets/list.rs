//! List and revocation of claim tickets.

use axum::{Json, extract::State};
use domain::{TicketId, TicketState};
use operations::Actor;
use store::{TicketFilter, Visible};

use super::view::TicketView;
use crate::{
    app::AppState,
    body::{Id, Params, filtered_team},
    caller::Authorised,
    error::ApiResult,
    lists::Listing,
    openapi::problems,
    origin::RequestOrigin,
    page::{list_body, list_params},
};

list_params! {
    /// Filters of the list of claim tickets.
    TicketParams {
        /// Only in this state (`open`, `redeemed`, `expired`, `revoked`).
        state: TicketState = String,
        /// Only of this team, by id or name.
        team: String = String,
    }
}

list_body! {
    /// A page of claim tickets.
    TicketList { tickets: TicketView }
}

problems! {
    ListProblems: ValidationFailed;
    RevokeProblems: CredentialDenied, NotFound, TicketSettled;
}

/// List claim tickets: your own and your teams'; all for admins and viewers.
///
/// Newest first, until seven days after their end. The texts of tickets are never shown.
#[utoipa::path(
    get, path = "/runners/tickets", tag = "tickets", params(TicketParams),
    responses((status = 200, description = "Newest first", body = TicketList), ListProblems),
)]
pub(crate) async fn list(
    State(app): State<AppState>,
    Authorised(caller): Authorised,
    Params(params): Params<TicketParams>,
) -> ApiResult<Listing<TicketList>> {
    let page = params.page()?;
    let team = filtered_team(&app, params.team.as_deref()).await?;
    let mut lists = app.lists(&caller).await?;
    let filter = TicketFilter { state: params.state, team };
    let listed = lists.claim_tickets().list(&Visible::to(&caller), &filter, page).await;
    lists.respond(listed, TicketList::new)
}

/// Revoke an open claim ticket.
///
/// Members revoke the tickets of their team, machine clients those of their own subject. A ticket that you may not see is
/// 404.
#[utoipa::path(
    post, path = "/runners/tickets/{ticket_id}/revoke", tag = "tickets", params(("ticket_id" = Uuid, Path)),
    responses((status = 200, description = "The revoked ticket", body = TicketView), RevokeProblems),
)]
pub(crate) async fn revoke(
    State(app): State<AppState>,
    Authorised(caller): Authorised,
    RequestOrigin(origin): RequestOrigin,
    Id(id): Id<TicketId>,
) -> ApiResult<Json<TicketView>> {
    let by = Actor { caller: &caller, origin: &origin };
    Ok(Json(app.operations().revoke_ticket(by, id).await?.into()))
}
