//! Pages of teams: list, one team, its policy, members and state.

mod edit;
mod form;
mod list;
mod members;
mod show;
mod state;
mod tickets;

use crate::ui::UiRoutes;

pub(crate) fn routes() -> UiRoutes {
    UiRoutes::new()
        .get("/teams", list::show_list)
        .get("/teams/new", edit::new)
        .post("/teams/new", edit::create)
        .get("/teams/{id}", show::show)
        .get("/teams/{id}/edit", edit::edit)
        .post("/teams/{id}/edit", edit::change)
        .post("/teams/{id}/try", edit::try_out)
        .get("/teams/{id}/deactivate", state::preview_deactivation)
        .post("/teams/{id}/deactivate", state::deactivate)
        .get("/teams/{id}/reactivate", state::preview_reactivation)
        .post("/teams/{id}/reactivate", state::reactivate)
        .get("/teams/{id}/tickets/{ticket}/revoke", tickets::preview_revocation)
        .post("/teams/{id}/tickets/{ticket}/revoke", tickets::revoke)
        .get("/teams/{id}/members/add", members::preview_addition)
        .post("/teams/{id}/members/add", members::add)
        .get("/teams/{id}/members/{user}/remove", members::preview_removal)
        .post("/teams/{id}/members/{user}/remove", members::remove)
}
