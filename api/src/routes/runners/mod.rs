//! Runners.

mod ask;
mod list;
mod provision;
mod refresh;
mod register;
mod remove;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::App;

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(provision::provision))
        .routes(routes!(register::register))
        .routes(routes!(list::list))
        .routes(routes!(list::show, remove::remove))
        .routes(routes!(refresh::refresh))
}
