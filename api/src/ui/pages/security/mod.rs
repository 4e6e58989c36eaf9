//! Pages of security: events, their acknowledgement, and the incident switch.

mod advice;
mod event;
mod incident;
mod list;
mod report;

use crate::ui::UiRoutes;

pub(crate) fn routes() -> UiRoutes {
    UiRoutes::new()
        .get("/security", list::show_list)
        .get("/security/{id}", event::show)
        .get("/security/{id}/acknowledge", event::preview)
        .post("/security/{id}/acknowledge", event::acknowledge)
        .get("/incidents/new", incident::preview)
        .post("/incidents/new", incident::begin)
        .get("/incidents/{id}", report::show)
        .get("/incidents/{id}/undo", report::preview_undo)
        .post("/incidents/{id}/undo", report::undo)
}
