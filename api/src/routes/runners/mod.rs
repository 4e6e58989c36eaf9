//! Runners.

mod ask;
mod list;
mod provision;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::App;

pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(provision::provision))
        .routes(routes!(list::list))
        .routes(routes!(list::show))
}
