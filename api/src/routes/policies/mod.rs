//! Policies: explanation of decisions, replay of requests, and application of files.

mod apply;
mod documents;
mod explain;
mod export;
mod replay;
mod schema;
mod view;

use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) use self::schema::{serve_schema, teams_schema};
use crate::app::AppState;

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(explain::own))
        .routes(routes!(explain::any))
        .routes(routes!(apply::apply))
        .routes(routes!(replay::replay))
        .routes(routes!(export::export))
}
