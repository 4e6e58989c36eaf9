//! One security event, and its acknowledgement.

use askama::Template;
use axum::{extract::State, response::Response};
use domain::{Problem, SecurityEventId};
use serde::Deserialize;

use super::advice;
use crate::{
    app::AppState,
    routes::admin::security::SecurityView,
    ui::{
        AdminVisitor, Frame, OverseeingVisitor, Section, UiForm, UiResult, Visitor, done, page,
        pages::{
            input::{PageId, optional},
            preview::Preview,
        },
    },
};

/// An event.
#[derive(Template)]
#[template(path = "security_event.html")]
struct EventPage {
    frame: Frame,
    event: SecurityView,
    team_name: Option<String>,
    meaning: &'static str,
    what_to_do: &'static str,
}

/// Note of an acknowledgement.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Note {
    note: String,
}

async fn read(app: &AppState, id: SecurityEventId) -> UiResult<SecurityView> {
    let event = app.store.conn().await?.audit().security_event(id).await?;
    Ok(event.ok_or_else(|| Problem::not_found("security event"))?.into())
}

/// Shows an event.
pub(super) async fn show(
    State(app): State<AppState>,
    OverseeingVisitor(visitor): OverseeingVisitor,
    PageId(id): PageId<SecurityEventId>,
) -> UiResult<Response> {
    let event = read(&app, id).await?;
    let team = match event.team_id {
        Some(team) => app.store.conn().await?.teams().basics(team.into()).await?,
        None => None,
    };
    let (meaning, what_to_do) = advice::about(&event.event_type);
    page(&EventPage {
        frame: Frame::new(&app, &visitor, Section::Security, event.event_type.clone()).await,
        event,
        team_name: team.map(|team| team.name),
        meaning,
        what_to_do,
    })
}

async fn preview_of(app: &AppState, visitor: &Visitor, id: SecurityEventId) -> UiResult<Preview> {
    let event = read(app, id).await?;
    let frame = Frame::new(app, visitor, Section::Security, "Acknowledge an event").await;
    let path = format!("/security/{id}");
    let heading =
        format!("Acknowledge {} of {}?", event.event_type, event.timestamp.format("%Y-%m-%d %H:%M UTC"));
    Ok(Preview::new(frame, heading, format!("{path}/acknowledge"), path)
        .says("The event leaves the second line of the verdict. Everyone who sees the event sees your name and note.")
        .says("The first acknowledgement stays; it cannot be taken back.")
        .reason("note", "Note: what you found and did", 1)
        .button("Acknowledge the event", "Not yet"))
}

/// Shows what an acknowledgement does.
pub(super) async fn preview(
    State(app): State<AppState>,
    AdminVisitor { visitor, .. }: AdminVisitor,
    PageId(id): PageId<SecurityEventId>,
) -> UiResult<Response> {
    preview_of(&app, &visitor, id).await?.show()
}

/// Acknowledges an event.
pub(super) async fn acknowledge(
    State(app): State<AppState>,
    AdminVisitor { visitor, admin }: AdminVisitor,
    PageId(id): PageId<SecurityEventId>,
    UiForm(form): UiForm<Note>,
) -> UiResult<Response> {
    let missing = || Problem::field("/note", "1 to 500 characters");
    let written = match optional(&form.note).ok_or_else(missing) {
        Ok(note) => app.operations().acknowledge_event(&admin, id, Some(&note)).await,
        Err(problem) => Err(problem.into()),
    };
    match written {
        Ok(_) => Ok(done(&format!("/security/{id}"), "The event is acknowledged.")),
        Err(error) => preview_of(&app, &visitor, id).await?.refuse(error, &form.note),
    }
}
