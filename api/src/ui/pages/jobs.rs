//! Pages of jobs: list, one job, and decisions about one.

mod decide;
mod held;
mod list;
mod query;
mod show;

use crate::ui::UiRoutes;

pub(super) fn routes() -> UiRoutes {
    UiRoutes::new()
        .get("/jobs", list::show_list)
        .get("/jobs/newer/{after}", list::count_newer)
        .get("/jobs/{id}", show::show)
        .get("/jobs/{id}/cancel", decide::preview_cancel)
        .post("/jobs/{id}/cancel", decide::cancel)
        .get("/jobs/{id}/retry", decide::preview_retry)
        .post("/jobs/{id}/retry", decide::retry)
        .get("/jobs/{id}/discard", decide::preview_discard)
        .post("/jobs/{id}/discard", decide::discard)
}
