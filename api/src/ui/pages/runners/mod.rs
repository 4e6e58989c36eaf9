//! Pages of runners: list, request, hand-out, one runner, check and removal.

mod config;
mod life;
mod list;
mod new;
mod query;
mod remove;
mod show;

use crate::ui::UiRoutes;

pub(crate) fn routes() -> UiRoutes {
    UiRoutes::new()
        .get("/runners", list::show_list)
        .get("/runners/newer/{after}", list::count_newer)
        .get("/runners/new", new::show_form)
        .post("/runners/new", new::submit)
        .post("/runners/check", new::check)
        .get("/runners/remove", remove::preview_many)
        .post("/runners/remove", remove::remove_many)
        .get("/runners/{id}", show::show)
        .get("/runners/{id}/state", show::state)
        .post("/runners/{id}/check", remove::check)
        .get("/runners/{id}/remove", remove::preview)
        .post("/runners/{id}/remove", remove::remove)
        .get("/jobs/{id}/config", config::wait)
        .post("/jobs/{id}/config", config::hand_out)
}
