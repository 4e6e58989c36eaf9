//! Policies: explanation of decisions, replay of requests, and application of files.

pub(crate) mod apply;
pub(crate) mod documents;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod replay;
pub(crate) mod schema;
pub(crate) mod view;

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
