//! Pages, one module for each family.

mod audit;
mod board;
mod clients;
mod explain;
mod input;
mod list_filters;
mod people;
mod preview;
mod runners;
mod search;
mod security;
mod sessions;
mod teams;

use super::UiRoutes;

pub(super) fn routes() -> UiRoutes {
    UiRoutes::new()
        .merge(board::routes())
        .merge(runners::routes())
        .merge(teams::routes())
        .merge(people::routes())
        .merge(clients::routes())
        .merge(security::routes())
        .merge(audit::routes())
        .merge(explain::routes())
        .merge(sessions::routes())
        .merge(search::routes())
}
