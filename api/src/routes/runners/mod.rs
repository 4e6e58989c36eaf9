//! Routes of runners.

pub(crate) mod list;
pub(crate) mod provision;
pub(crate) mod refresh;
pub(crate) mod register;
pub(crate) mod remove;
pub(crate) mod request;
pub(crate) mod view;

use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) use self::request::{ProvisionBody, parse_sealing_key};
use crate::app::AppState;

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(provision::provision))
        .routes(routes!(register::register))
        .routes(routes!(list::list))
        .routes(routes!(list::show, remove::remove))
        .routes(routes!(refresh::refresh))
}
