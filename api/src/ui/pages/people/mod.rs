//! Pages of people: list, invitation, one person, role and access.

mod access;
mod list;
mod new;
mod role;
mod sessions;
mod show;

use crate::ui::UiRoutes;

pub(crate) fn routes() -> UiRoutes {
    UiRoutes::new()
        .get("/people", list::show_list)
        .get("/people/new", new::show_form)
        .post("/people/new", new::create)
        .get("/people/{id}", show::show)
        .get("/people/{id}/role", role::show_form)
        .post("/people/{id}/role", role::change)
        .get("/people/{id}/deactivate", access::preview_deactivation)
        .post("/people/{id}/deactivate", access::deactivate)
        .get("/people/{id}/activate", access::preview_activation)
        .post("/people/{id}/activate", access::activate)
        .get("/people/{id}/end-sessions", sessions::preview)
        .post("/people/{id}/end-sessions", sessions::end_all)
        .get("/people/{id}/unbind", access::preview_unbinding)
        .post("/people/{id}/unbind", access::unbind)
}
