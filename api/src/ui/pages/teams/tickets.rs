//! Revocation of a team's claim tickets.

use axum::{extract::State, response::Response};
use domain::{Problem, TeamId, TicketId};
use operations::Actor;

use crate::{
    app::AppState,
    ui::{
        Frame, Section, UiResult, Visitor, done,
        pages::{input::PageIds, preview::Preview},
    },
};

/// Shows what a revocation does.
pub(super) async fn preview_revocation(
    State(app): State<AppState>,
    visitor: Visitor,
    PageIds(team, id): PageIds<TeamId, TicketId>,
) -> UiResult<Response> {
    let found = app.store.conn().await?.claim_tickets().get(id).await?;
    let seen = found.filter(|ticket| {
        ticket.team == team && visitor.caller.may_see(Some(ticket.team), Some(ticket.requester))
    });
    let ticket = seen.ok_or_else(|| Problem::not_found("ticket"))?;
    let frame = Frame::new(&app, &visitor, Section::Teams, "Revoke a claim ticket").await;
    let action = format!("/teams/{team}/tickets/{id}/revoke");
    Preview::new(frame, "Revoke this claim ticket?", action, format!("/teams/{team}"))
        .says(format!("{} asked for it. No machine can redeem it afterwards.", ticket.identity))
        .button("Revoke the ticket", "Do not revoke")
        .show()
}

/// Revokes a ticket.
pub(super) async fn revoke(
    State(app): State<AppState>,
    visitor: Visitor,
    PageIds(team, id): PageIds<TeamId, TicketId>,
) -> UiResult<Response> {
    let by = Actor { caller: &visitor.caller, origin: &visitor.origin };
    app.operations().revoke_ticket(by, id).await?;
    Ok(done(&format!("/teams/{team}"), "The claim ticket was revoked."))
}
