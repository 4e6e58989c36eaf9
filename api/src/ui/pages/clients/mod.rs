//! Pages of machine clients: list, addition, one client, access, and the test of a token.

mod access;
mod list;
mod new;
mod show;
mod token;

use crate::ui::UiRoutes;

pub(crate) fn routes() -> UiRoutes {
    UiRoutes::new()
        .get("/clients", list::show_list)
        .get("/clients/new", new::show_form)
        .post("/clients/new", new::create)
        .get("/clients/test", token::show_form)
        .post("/clients/test", token::test)
        .get("/clients/{id}", show::show)
        .get("/clients/{id}/deactivate", access::preview_deactivation)
        .post("/clients/{id}/deactivate", access::deactivate)
        .get("/clients/{id}/activate", access::preview_activation)
        .post("/clients/{id}/activate", access::activate)
        .get("/clients/{id}/remove", access::preview_removal)
        .post("/clients/{id}/remove", access::remove)
}
