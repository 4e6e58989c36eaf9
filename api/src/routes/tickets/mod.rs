//! Routes of claim tickets.

pub(crate) mod create;
pub(crate) mod list;
pub(crate) mod redeem;
pub(crate) mod request;
pub(crate) mod view;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::AppState;

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list::list, create::create))
        .routes(routes!(redeem::redeem))
        .routes(routes!(list::revoke))
}
