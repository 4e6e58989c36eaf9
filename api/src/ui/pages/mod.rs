//! Pages, one module for each family.

mod audit;
mod batches;
mod board;
mod budget;
mod clients;
mod explain;
mod failures;
mod fleet;
mod input;
mod jobs;
mod lanes;
mod list_filters;
mod newer;
mod people;
mod preview;
mod runners;
mod search;
mod security;
mod sessions;
mod sinks;
mod team_names;
mod teams;
mod times;
mod words;
mod workers;

use super::UiRoutes;

pub(super) fn routes() -> UiRoutes {
    UiRoutes::new()
        .merge(board::routes())
        .merge(runners::routes())
        .merge(teams::routes())
        .merge(people::routes())
        .merge(clients::routes())
        .merge(security::routes())
        .merge(sinks::routes())
        .merge(audit::routes())
        .merge(explain::routes())
        .merge(sessions::routes())
        .merge(search::routes())
        .merge(jobs::routes())
        .merge(failures::routes())
        .merge(batches::routes())
        .merge(lanes::routes())
        .merge(workers::routes())
        .merge(budget::routes())
        .merge(fleet::routes())
}
