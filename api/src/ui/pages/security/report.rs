//! The report of an incident, and its undoing.

use askama::Template;
use axum::{extract::State, response::Response};
use domain::IncidentState;
use operations::Actor;
use uuid::Uuid;

use crate::{
    app::AppState,
    body::Id,
    caller::SeesAll,
    routes::admin::incidents::{self, view::IncidentView},
    ui::{
        AdminVisitor, Frame, OverseeingVisitor, Section, UiResult, Visitor, done, page,
        pages::{input::PageId, preview::Preview},
    },
};

/// What an incident ended, and what is left.
#[derive(Template)]
#[template(path = "incident.html")]
struct ReportPage {
    frame: Frame,
    incident: IncidentView,
}

impl ReportPage {
    /// Returns whether the incident can be undone.
    fn may_be_undone(&self) -> bool {
        matches!(self.incident.summary.state, IncidentState::Active)
    }
}

async fn read(app: &AppState, visitor: &Visitor, id: Uuid) -> UiResult<IncidentView> {
    Ok(incidents::show(State(app.clone()), SeesAll(visitor.caller.clone()), Id(id)).await?.0)
}

/// Shows the report.
pub(super) async fn show(
    State(app): State<AppState>,
    OverseeingVisitor(visitor): OverseeingVisitor,
    PageId(id): PageId<Uuid>,
) -> UiResult<Response> {
    let incident = read(&app, &visitor, id).await?;
    let title = format!("Incident: {}", incident.summary.name);
    page(&ReportPage { frame: Frame::new(&app, &visitor, Section::Security, title).await, incident })
}

/// Shows what comes back.
pub(super) async fn preview_undo(
    State(app): State<AppState>,
    AdminVisitor { visitor, .. }: AdminVisitor,
    PageId(id): PageId<Uuid>,
) -> UiResult<Response> {
    let incident = read(&app, &visitor, id).await?;
    let name = &incident.summary.name;
    let frame = Frame::new(&app, &visitor, Section::Security, "Undo an incident").await;
    let path = format!("/incidents/{id}");
    Preview::new(frame, format!("Give {name} its access back?"), format!("{path}/undo"), path)
        .says("Exactly what the incident switched off is switched on again.")
        .says("Requests that were cancelled and runners that were removed do not come back.")
        .button("Undo the incident", "Keep the access ended")
        .show()
}

/// Undoes an incident.
pub(super) async fn undo(
    State(app): State<AppState>,
    AdminVisitor { visitor, admin }: AdminVisitor,
    PageId(id): PageId<Uuid>,
) -> UiResult<Response> {
    let by = Actor { caller: &visitor.caller, origin: &visitor.origin };
    let incident = app.operations().undo_incident(by, &admin, id).await?;
    let view = incidents::run(&app, incident).await?;
    let sentence =
        if view.is_over() { "The access is restored." } else { "The scheduler restores the rest." };
    Ok(done(&format!("/incidents/{id}"), sentence))
}
