//! Webhooks from GitHub, the only calls with a signature instead of a token.

mod receive;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::AppState;

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(receive::receive))
}
